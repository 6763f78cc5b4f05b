//! The least rights that Kastellan needs in a namespace, as a Role.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::names::Segment;
use crate::spec::WorkloadKind;

/// What Kastellan is allowed to do with Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Plan and report drift; change nothing.
    Planning,
    /// Apply, rotate, delete.
    Applying,
}

/// Whether a list of the namespace is allowed, which tells of strangers' Secrets too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Each Secret by its name.
    Named,
    /// One list of all.
    All,
}

/// Whom a Role is given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// A service account, e.g. of the pod that Kastellan runs in.
    Service {
        /// Its namespace.
        namespace: Segment,
        /// Its name.
        name: Segment,
    },
    /// A user, as the API server calls it.
    User(String),
}

/// Verbs with what they are needed for, those of [`Purpose::Planning`] first.
const VERBS: [(&str, Purpose, &str); 4] = [
    ("get", Purpose::Planning, "look at a Secret, and read one that somebody touched"),
    ("create", Purpose::Applying, "make a Secret; with a server-side apply the name counts here too"),
    ("patch", Purpose::Applying, "write a Secret"),
    ("delete", Purpose::Applying, "remove a Secret with its user"),
];

/// The verbs of a purpose, each with what it is needed for.
pub fn explained_verbs(purpose: Purpose) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_needed = move |needs: Purpose| needs == Purpose::Planning || needs == purpose;
    VERBS.into_iter().filter(move |(_, needs, _)| is_needed(*needs)).map(|(verb, _, why)| (verb, why))
}

/// Verbs for workloads with what they are needed for.
const WORKLOAD_VERBS: [(&str, Purpose, &str); 2] = [
    ("get", Purpose::Planning, "see whether a workload has restarted"),
    ("patch", Purpose::Applying, "restart a workload, by an annotation of its pods' template"),
];

/// The verbs of a purpose for the workloads that deliveries restart, each with what it is needed for.
pub fn explained_workload_verbs(purpose: Purpose) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_needed = move |needs: Purpose| needs == Purpose::Planning || needs == purpose;
    WORKLOAD_VERBS.into_iter().filter(move |(_, needs, _)| is_needed(*needs)).map(|(verb, _, why)| (verb, why))
}

/// What Kastellan reaches in one namespace.
#[derive(Debug, Default)]
pub struct Rights<'d> {
    /// Names of Secrets.
    pub secrets: BTreeSet<&'d Segment>,
    /// What is restarted.
    pub workloads: BTreeSet<(WorkloadKind, &'d Segment)>,
    /// Whether some rotation waits for a rollout: then the pods of the namespace are listed.
    pub waits: bool,
}

/// A Role for some Secrets and workloads of one namespace, and its binding: two YAML documents, the first without a
/// separator before it.
pub fn role(purpose: Purpose, sight: Sight, namespace: &Segment, rights: &Rights<'_>, account: &Account) -> String {
    let verbs = explained_verbs(purpose).map(|(verb, _)| verb).collect::<Vec<_>>().join(", ");
    let name = match purpose {
        Purpose::Planning => "kastellan-plan",
        Purpose::Applying => "kastellan-apply",
    };
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: {name}\n  namespace: {namespace}\nrules:\n"
    );
    write_rule(&mut text, "", "secrets", rights.secrets.iter().copied(), &verbs);
    match sight {
        Sight::Named => {}
        Sight::All => text.push_str("  - apiGroups: [\"\"]\n    resources: [secrets]\n    verbs: [list]\n"),
    }
    text.push_str(&workload_rules(purpose, rights));
    text.push_str(&role_binding(name, namespace.as_str(), name, account));
    text
}

/// What [`identity_role`] is needed for.
pub const EXPLAINED_IDENTITY: &str =
    "know the cluster again by its uid; without, nobody notices another one in its place";

/// A Role that tells which cluster it is in, and its binding for one account: two YAML documents, the first without a
/// separator before it. Every account has a binding of its own.
pub fn identity_role(account: &Account) -> String {
    let whose = match account {
        Account::Service { namespace, name } => format!("{namespace}:{name}"),
        // The one name in RBAC that may hold a slash is that of a user.
        Account::User(user) => user.replace(['/', '%'], ":"),
    };
    let binding = serde_json::to_string(&format!("{IDENTITY}:{whose}")).expect("texts become JSON");
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: {IDENTITY}\n  namespace: kube-system\nrules:\n  - apiGroups: [\"\"]\n    resources: [namespaces]\n    resourceNames:\n      - kube-system\n    verbs: [get]\n"
    );
    text.push_str(&role_binding(&binding, "kube-system", IDENTITY, account));
    text
}

const IDENTITY: &str = "kastellan-identity";

/// With the separator before it.
fn role_binding(binding: &str, namespace: &str, role: &str, account: &Account) -> String {
    let mut text = format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: {binding}\n  namespace: {namespace}\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: {role}\nsubjects:\n"
    );
    let _ = match account {
        Account::Service { namespace, name } => {
            write!(text, "  - kind: ServiceAccount\n    name: {name}\n    namespace: {namespace}\n")
        }
        Account::User(user) => {
            let user = serde_json::to_string(user).expect("texts become JSON");
            write!(text, "  - kind: User\n    apiGroup: rbac.authorization.k8s.io\n    name: {user}\n")
        }
    };
    text
}

fn write_rule<'d>(
    text: &mut String,
    group: &str,
    resource: &str,
    names: impl Iterator<Item = &'d Segment>,
    verbs: &str,
) {
    let _ = write!(text, "  - apiGroups: [\"{group}\"]\n    resources: [{resource}]\n    resourceNames:\n");
    for name in names {
        let _ = writeln!(text, "      - {name}");
    }
    let _ = writeln!(text, "    verbs: [{verbs}]");
}

/// Who only plans looks at workloads where a rotation waits for them, and nowhere else.
fn workload_rules(purpose: Purpose, rights: &Rights<'_>) -> String {
    let mut text = String::new();
    if purpose == Purpose::Planning && !rights.waits {
        return text;
    }
    let verbs = explained_workload_verbs(purpose).map(|(verb, _)| verb).collect::<Vec<_>>().join(", ");
    for kind in WorkloadKind::ALL {
        let names = rights.workloads.iter().filter(|(of, _)| *of == kind).map(|(_, name)| *name);
        let names = names.collect::<Vec<_>>();
        if !names.is_empty() {
            write_rule(&mut text, "apps", kind.plural(), names.into_iter(), &verbs);
        }
    }
    if rights.waits {
        text.push_str("  - apiGroups: [\"\"]\n    resources: [pods]\n    verbs: [list]\n");
    }
    text
}
