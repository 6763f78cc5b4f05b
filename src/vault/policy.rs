//! The rights that Kastellan itself needs in Vault, as a policy.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::KvPath;
use crate::names::Segment;

/// What a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `plan` and `status`: no secret can be read.
    Planning,
    /// `apply`, `rotate`, `verify`, `store put` and `import`.
    Applying,
    /// A store that `import` only reads passwords from: every input, and no other secret. Not beside another policy: of
    /// several paths that fit, Vault goes by the longest, and so would refuse writes below these.
    Importing,
}

const READ: &[&str] = &["read"];
const LIST: &[&str] = &["list"];
const LIST_AND_WRITE: &[&str] = &["create", "list", "read", "update"];
const WRITE: &[&str] = &["create", "read", "update"];
const UPDATE: &[&str] = &["update"];

/// The policy for a mount, a prefix in it and the inputs below that, in the JSON form that `vault policy write` takes.
///
/// Paths are literal up to a `*` at their end; that does not cover the list of the folder itself. Material can be created, read and destroyed, and nobody with this policy can
/// change it.
pub fn policy(purpose: Purpose, mount: &[Segment], prefix: &[Segment], inputs: &[KvPath]) -> String {
    let mount = KvPath::of(mount);
    let prefix = if prefix.is_empty() { String::new() } else { format!("{}/", KvPath::of(prefix)) };
    let below = |kind: &str, path: &str| format!("{mount}/{kind}/{prefix}{path}");
    let mut rights: BTreeMap<String, &[&str]> = BTreeMap::new();
    rights.insert("auth/token/lookup-self".into(), READ);
    rights.insert("auth/token/renew-self".into(), UPDATE);
    rights.insert("auth/token/revoke-self".into(), UPDATE);
    if purpose != Purpose::Applying {
        rights.insert(below("metadata", "_kastellan/records/"), LIST);
        rights.insert(below("metadata", "_kastellan/records/*"), LIST);
        rights.insert(below("data", "_kastellan/records/*"), READ);
    }
    match purpose {
        Purpose::Planning => {
            rights.extend(inputs.iter().map(|input| (below("metadata", &format!("{input}/*")), READ)));
        }
        Purpose::Importing => {
            rights.extend(inputs.iter().map(|input| (below("data", &format!("{input}/*")), READ)));
            let folders = inputs.iter().flat_map(|input| [format!("{input}/"), format!("{input}/*")]);
            rights.extend(folders.map(|folder| (below("metadata", &folder), LIST)));
        }
        Purpose::Applying => {
            rights.insert(format!("{mount}/config"), READ);
            rights.insert(below("data", "*"), WRITE);
            rights.insert(below("metadata", "*"), WRITE);
            rights.insert(below("metadata", "_kastellan/records/"), LIST);
            rights.insert(below("metadata", "_kastellan/records/*"), LIST_AND_WRITE);
            rights.extend(inputs.iter().map(|input| (below("metadata", &format!("{input}/")), LIST)));
            rights.extend(inputs.iter().map(|input| (below("metadata", &format!("{input}/*")), LIST_AND_WRITE)));
            rights.insert(below("data", "_kastellan/material/*"), &["create", "read"]);
            rights.insert(below("destroy", "_kastellan/material/*"), UPDATE);
        }
    }
    let paths: BTreeMap<String, Value> =
        rights.into_iter().map(|(path, capabilities)| (path, json!({"capabilities": capabilities}))).collect();
    let text = serde_json::to_string_pretty(&json!({"path": paths})).expect("texts always serialise");
    text + "\n"
}
