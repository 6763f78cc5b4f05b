//! `KafkaUser` resources of Strimzi, as far as taking a user over needs them: who it is, and where its password lies.
//!
//! ACLs and quotas are not read: Strimzi's User Operator keeps Kafka as its resources say, and Kafka is what must not change.
//! `kafka.strimzi.io/v1`, `v1beta2` and the older ones agree in the fields that are read.

use super::decode_all;
use super::fields::Fields;
use super::report::Report;
use super::source::{Place, SourceText};
use super::tree::Node;
use super::yaml;
use crate::diagnostic::{Finding, Findings};
use crate::names::{NamespacedName, Segment};

/// A `KafkaUser` of Strimzi. Its name is its name in Kafka, if it logs in by SCRAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrimziUser {
    /// Namespace and name of the resource.
    pub identity: NamespacedName,
    /// How it logs in.
    pub login: StrimziLogin,
    /// `status.secret`: the Secret that the User Operator wrote; `None` where it does not say.
    pub secret: Option<Segment>,
}

/// How a `KafkaUser` of Strimzi logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrimziLogin {
    /// `scram-sha-512`, the only SCRAM it knows.
    Scram,
    /// Another type, by its name; `None` where nothing is said.
    Other(Option<String>),
}

/// Reads every `KafkaUser` of Strimzi in some texts, lists of them included, in the order written. Resources of other kinds
/// are left out.
///
/// # Errors
/// All findings: a text that is no YAML, or a resource without a name.
pub fn read_strimzi(inputs: &[SourceText]) -> Result<Vec<StrimziUser>, Findings> {
    let (sources, refused) = decode_all(inputs);
    let mut report = Report::new(&sources);
    refused.into_iter().for_each(|finding| report.anywhere(finding));
    let mut users = Vec::new();
    for index in 0..sources.len() as u32 {
        yaml::documents(&mut report, index, |report, root| read_resource(report, index, &root, &mut users));
    }
    if users.is_empty() && report.errors() == 0 {
        let finding = Finding::error("no-documents", "there is no KafkaUser of Strimzi among the resources");
        report.anywhere(finding.hint("`kubectl get kafkausers -A -o yaml` writes them"));
    }
    let findings = report.finish();
    if findings.has_errors() { Err(findings) } else { Ok(users) }
}

fn read_resource(report: &mut Report<'_>, source: u32, node: &Node<'_>, users: &mut Vec<StrimziUser>) {
    let Some(fields) = Fields::of(node) else { return };
    let is_strimzis = fields.text("apiVersion").is_some_and(|version| version.starts_with("kafka.strimzi.io/"));
    match fields.text("kind") {
        Some("List" | "KafkaUserList") => {
            fields.items("items").iter().for_each(|item| read_resource(report, source, item, users));
        }
        Some("KafkaUser") if is_strimzis => match read_user(fields) {
            Some(user) => users.push(user),
            None => {
                let place = Place { start: node.place.start, length: 1 };
                let finding = Finding::error("missing-field", "a KafkaUser without a name that Kubernetes would take");
                report.at(super::source::At { source, place }, finding);
            }
        },
        Some(_) | None => {}
    }
}

fn read_user(fields: Fields<'_, '_>) -> Option<StrimziUser> {
    let metadata = fields.fields("metadata")?;
    let namespace = metadata.text("namespace").unwrap_or(NamespacedName::DEFAULT_NAMESPACE);
    let identity = NamespacedName {
        namespace: Segment::parse(namespace).ok()?,
        name: Segment::parse(metadata.text("name")?).ok()?,
    };
    let kind = fields.fields("spec").and_then(|spec| spec.fields("authentication")?.text("type"));
    let login = match kind {
        Some("scram-sha-512") => StrimziLogin::Scram,
        other => StrimziLogin::Other(other.map(str::to_owned)),
    };
    let secret = fields.fields("status").and_then(|status| Segment::parse(status.text("secret")?).ok());
    Some(StrimziUser { identity, login, secret })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    fn read(text: &str) -> Result<Vec<StrimziUser>, Findings> {
        let file = Arc::new(PathBuf::from("users.yaml"));
        read_strimzi(&[SourceText { file, bytes: text.as_bytes().to_vec() }])
    }

    #[test]
    fn lists_and_single_resources_are_read_and_others_left_out() {
        let text = "\
apiVersion: v1
kind: List
items:
- apiVersion: kafka.strimzi.io/v1beta2
  kind: KafkaUser
  metadata: {name: payments, namespace: kafka, labels: {strimzi.io/cluster: prod}, managedFields: [{f:spec: {}}]}
  spec: {authentication: {type: scram-sha-512}, quotas: {producerByteRate: 1}}
  status: {username: payments, secret: prefix-payments}
- apiVersion: kafka.strimzi.io/v1
  kind: KafkaTopic
  metadata: {name: orders}
---
apiVersion: kafka.strimzi.io/v1
kind: KafkaUser
metadata: {name: reports}
spec: {authentication: {type: tls}}
---
apiVersion: kastellan.io/v1alpha1
kind: KafkaUser
metadata: {name: ours}
";
        let users = read(text).unwrap();
        let shown = users.iter().map(|user| (user.identity.to_string(), user.login.clone(), user.secret.clone()));
        let prefixed = Some(Segment::parse("prefix-payments").unwrap());
        let expected = [
            ("kafka/payments".to_owned(), StrimziLogin::Scram, prefixed),
            ("default/reports".to_owned(), StrimziLogin::Other(Some("tls".to_owned())), None),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn nothing_and_a_nameless_one_are_errors() {
        assert_eq!(read("kind: List\n").unwrap_err().0[0].code, "no-documents");
        let nameless = "apiVersion: kafka.strimzi.io/v1\nkind: KafkaUser\nmetadata: {}\n";
        assert_eq!(read(nameless).unwrap_err().0[0].code, "missing-field");
    }
}
