//! The second opinion: published credentials, tried through librdkafka.

use std::collections::BTreeMap;

use super::connect::Links;
use crate::credential::Record;
use crate::names::{ClusterName, NamespacedName, StoreName};
use crate::state::Desired;

/// What librdkafka says of each credential on each cluster: a few words, or why it failed.
pub type SecondOpinions = BTreeMap<(NamespacedName, ClusterName), Result<String, String>>;

/// Asks librdkafka about the published credential of each record on each of its clusters. Where a document lets the user
/// write to a topic by its whole name, one record is written to it and read back if the user may read it.
#[cfg(feature = "librdkafka")]
pub async fn second_opinions(
    links: &Links,
    desired: &Desired,
    records: &BTreeMap<NamespacedName, (StoreName, Record)>,
) -> SecondOpinions {
    asked::all(links, desired, records).await
}

/// This build has no librdkafka; nobody is asked.
#[cfg(not(feature = "librdkafka"))]
pub async fn second_opinions(
    _links: &Links,
    _desired: &Desired,
    _records: &BTreeMap<NamespacedName, (StoreName, Record)>,
) -> SecondOpinions {
    SecondOpinions::new()
}

#[cfg(feature = "librdkafka")]
mod asked {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::stream::{self, StreamExt as _};

    use super::*;
    use crate::credential::{CredentialDocument, LiveCredential, Seen};
    use crate::diagnostic::Chain;
    use crate::kafka::{Opinion, RecordTrip, second_opinion};
    use crate::names::{AclRule, Operation, PatternType, Permission, ResourceType};

    /// How long one step of librdkafka may take.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Each opinion has threads of its own inside librdkafka.
    const AT_ONCE: usize = 8;

    pub(super) async fn all(
        links: &Links,
        desired: &Desired,
        records: &BTreeMap<NamespacedName, (StoreName, Record)>,
    ) -> SecondOpinions {
        let mut questions = Vec::new();
        let mut opinions = SecondOpinions::new();
        let mut documents = read_documents(links, records).await;
        for (user, (_, record)) in records {
            let document = documents.remove(user).unwrap_or_else(|| Err("it has no published credential".to_owned()));
            for cluster in record.clusters.keys() {
                let key = (user.clone(), cluster.clone());
                match (&document, desired.clusters.get(cluster)) {
                    (Ok(live), Some(found)) => {
                        let topic = desired.users.get(user).and_then(|user| writable_topic(user.rules.as_deref()?));
                        questions.push((key, live.clone(), found.connection.clone(), topic));
                    }
                    (Err(why), _) => drop(opinions.insert(key, Err(why.clone()))),
                    (Ok(_), None) => drop(opinions.insert(key, Err("no document declares the cluster".to_owned()))),
                }
            }
        }
        let asked = stream::iter(questions).map(|(key, live, connection, topic)| async move {
            (key, explain(second_opinion(live, connection, topic, PATIENCE).await))
        });
        opinions.extend(asked.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        opinions
    }

    type Documents = BTreeMap<NamespacedName, Result<Arc<LiveCredential>, String>>;

    /// What applications read: the opinion is about that, not about what we would publish now.
    async fn read_documents(links: &Links, records: &BTreeMap<NamespacedName, (StoreName, Record)>) -> Documents {
        let mut by_store: BTreeMap<&StoreName, Vec<NamespacedName>> = BTreeMap::new();
        for (user, (store, record)) in records {
            if record.active.is_some() {
                by_store.entry(store).or_default().push(user.clone());
            }
        }
        let mut documents = Documents::new();
        for (name, users) in by_store {
            let Some(Seen::Known(link)) = links.stores.get(name) else { continue };
            let Some(secrets) = &link.secrets else { continue };
            let read = secrets.read_credentials(&users).await;
            documents.extend(users.into_iter().zip(read).map(|(user, read)| {
                let live = match read {
                    Ok(Some(found)) => match found.value {
                        CredentialDocument::Live(live) => Ok(Arc::from(live)),
                        CredentialDocument::Tombstone { .. } => {
                            Err("its credential document is a tombstone".to_owned())
                        }
                    },
                    Ok(None) => Err("its credential document is gone".to_owned()),
                    Err(error) => Err(Chain(&error).to_string()),
                };
                (user, live)
            }));
        }
        documents
    }

    /// A topic the user may write to by its whole name, one it may read as well if there is one.
    fn writable_topic(rules: &[AclRule]) -> Option<String> {
        let allows = |name: &str, operation: Operation| {
            rules.iter().any(|rule| {
                rule.permission == Permission::Allow
                    && rule.resource_type == ResourceType::Topic
                    && rule.pattern_type == PatternType::Literal
                    && &*rule.resource_name == name
                    && (rule.operation == operation || rule.operation == Operation::All)
            })
        };
        let names = rules.iter().map(|rule| &*rule.resource_name).filter(|name| *name != "*");
        let writable = names.filter(|name| allows(name, Operation::Write)).collect::<Vec<_>>();
        let best = writable.iter().find(|name| allows(name, Operation::Read)).or(writable.first());
        best.map(ToString::to_string)
    }

    fn explain(opinion: Opinion) -> Result<String, String> {
        match opinion {
            Opinion::LoggedIn { record: RecordTrip::Failed { why }, .. } => {
                Err(format!("logged in, but the record made no round trip: {why}"))
            }
            Opinion::LoggedIn { record, .. } => Ok(match record {
                RecordTrip::Returned => "logged in, wrote a record and read it back",
                RecordTrip::MayNotRead => "logged in and wrote a record",
                RecordTrip::MayNotWrite => "logged in; it may not write to the topic of its document",
                RecordTrip::NoTopic => "logged in; the topic of its document does not exist",
                RecordTrip::NotAsked | RecordTrip::Failed { .. } => "logged in",
            }
            .to_owned()),
            Opinion::Refused => Err("the login was refused".to_owned()),
            Opinion::Unreachable { why } | Opinion::Unusable { why } => Err(why),
        }
    }
}
