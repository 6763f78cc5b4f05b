//! What the API says when it refuses: a `Status`, of which only names and numbers are taken.

use serde::Deserialize;

use super::{K8sError, Refusal};

/// `Status` of `meta/v1`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    name: String,
    kind: String,
    causes: Vec<Cause>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cause {
    reason: String,
    field: String,
}

/// The error of an answer that is no success.
pub(super) fn refusal(status: u16, verb: &'static str, body: &[u8]) -> K8sError {
    let said: Status = serde_json::from_slice(body).unwrap_or_default();
    // Checks at admission choose their own status, 422 if they say nothing else.
    if let Some(by) = webhook(&said.message) {
        return K8sError::Refused(Refusal::Admission { by });
    }
    K8sError::Refused(match status {
        401 => Refusal::Unauthenticated,
        403 => forbidden(&said, verb),
        404 if said.details.kind == "namespaces" => Refusal::NoNamespace { namespace: name_of(&said.details.name) },
        409 => Refusal::Conflict,
        422 => {
            let fields = said.details.causes.into_iter().map(|cause| cause.field).filter(|field| is_field(field));
            let mut fields = fields.collect::<Vec<_>>();
            fields.dedup();
            Refusal::Invalid { fields }
        }
        429 | 500 | 502 | 503 | 504 => Refusal::Busy { status },
        _ => Refusal::Other { status },
    })
}

/// RBAC, quotas, policies and namespaces that end all say 403; they differ in their words.
fn forbidden(said: &Status, verb: &'static str) -> Refusal {
    if said.details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
        return Refusal::NamespaceEnds;
    }
    if let Some(quota) = between(&said.message, "exceeded quota: ", &[',', ' ']) {
        return Refusal::Quota { quota };
    }
    if said.reason == "Forbidden" && said.message.contains(" cannot ") {
        return Refusal::Unauthorized { verb };
    }
    Refusal::Admission { by: "?".to_owned() }
}

/// The webhook or policy that an answer names.
fn webhook(message: &str) -> Option<String> {
    between(message, "admission webhook \"", &['"'])
        .or_else(|| between(message, "calling webhook \"", &['"']))
        .or_else(|| between(message, "ValidatingAdmissionPolicy '", &['\'']))
}

/// The name between two marks; `None` if what stands there is no name, whatever it is.
fn between(message: &str, begin: &str, end: &[char]) -> Option<String> {
    let rest = &message[message.find(begin)? + begin.len()..];
    let name = rest.split(end).next()?;
    is_name(name).then(|| name.to_owned())
}

fn name_of(text: &str) -> String {
    if is_name(text) { text.to_owned() } else { "?".to_owned() }
}

/// Names of Kubernetes' objects; long texts are somebody's prose.
fn is_name(text: &str) -> bool {
    const BYTES_MAX: usize = 253;
    !text.is_empty()
        && text.len() <= BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// A path of fields such as `metadata.labels` or `data[password]`.
fn is_field(text: &str) -> bool {
    const BYTES_MAX: usize = 300;
    !text.is_empty()
        && text.len() <= BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: serde_json::Value) -> Refusal {
        match refusal(status, "patch", &serde_json::to_vec(&body).unwrap()) {
            K8sError::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let message = |message: &str| serde_json::json!({"reason": "Forbidden", "message": message});
        let rbac = message(r#"secrets "a" is forbidden: User "bob" cannot patch resource "secrets" in API group """#);
        assert_eq!(told(403, rbac), Refusal::Unauthorized { verb: "patch" });
        let quota = message(r#"secrets "a" is forbidden: exceeded quota: few, requested: secrets=1, used: secrets=1"#);
        assert_eq!(told(403, quota), Refusal::Quota { quota: "few".into() });
        let policy = message(
            "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'no-secrets' with binding 'b' denied request: x",
        );
        assert_eq!(told(403, policy), Refusal::Admission { by: "no-secrets".into() });
        let webhook = message(r#"admission webhook "guard.example.com" denied the request: because"#);
        assert_eq!(told(400, webhook.clone()), Refusal::Admission { by: "guard.example.com".into() });
        assert_eq!(told(403, webhook), Refusal::Admission { by: "guard.example.com".into() });
        let gone = serde_json::json!({"reason": "NotFound", "details": {"kind": "namespaces", "name": "nope"}});
        assert_eq!(told(404, gone), Refusal::NoNamespace { namespace: "nope".into() });
        let invalid = serde_json::json!({"details": {"causes": [{"field": "type"}, {"field": "a secret: x"}]}});
        assert_eq!(told(422, invalid), Refusal::Invalid { fields: vec!["type".into()] });
    }

    #[test]
    fn what_stands_where_a_name_should_is_not_repeated() {
        let body =
            serde_json::json!({"message": "admission webhook \"the value c2VjcmV0= is bad\" denied the request"});
        assert_eq!(told(400, body), Refusal::Other { status: 400 });
        assert_eq!(
            refusal(503, "get", b"<html>upstream</html>").to_string(),
            "the Kubernetes API is busy or in trouble (status 503)"
        );
    }
}
