//! The quiet end of a run: nothing goes wrong any more, and everything has to come to rest and be right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::FutureExt as _;
use kastellan::credential::{self, Phase};
use kastellan::engine::Finished;
use kastellan::names::{Mechanism, NamespacedName, Principal, UserName};
use kastellan::plan::Asked;
use kastellan::store::StoreReader as _;

use super::super::super::support::broker::{Change, StoredCredential};
use super::super::scenario::topic_name;
use super::super::watch::Access;
use super::super::world::{Faults, Job};
use super::Run;

/// Quiet passes after which everything has to be settled.
const QUIET_PASSES_MAX: usize = 10;

impl Run {
    /// Lets everybody finish what is under way.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.shape.faults = Faults::default();
        self.shape.has_bad_clocks = false;
        self.declared = Arc::new(self.declared.at_rest(&self.shape));
        for machine in &self.world.machines {
            machine.set_wall_offset(0);
        }
        for _ in 0..QUIET_PASSES_MAX {
            self.rest()?;
            self.take_back_what_was_given_late();
            self.quiet_pass(None)?;
            let waiting = self.waiting()?;
            if waiting.is_empty() && self.world.last_end().is_some_and(|end| end.is_settled()) {
                return Ok(());
            }
            for user in self.stolen() {
                self.give_password(&user);
            }
            for user in waiting {
                self.world.watch().reload(&user);
                let what = credential::Ask::Acknowledge(None);
                self.quiet_pass(Some(Asked { what, users: BTreeSet::from([user]) }))?;
            }
        }
        let end = self.world.last_end();
        Err(format!("does not settle: {}", end.map_or_else(String::new, |end| end.explain())))
    }

    /// Somebody takes away what nobody has any more.
    fn take_back_what_was_given_late(&mut self) {
        let late = self.world.watch().given_late();
        self.given_late += late.len();
        for (cluster, access) in late {
            self.world.clusters[&cluster].change(match access {
                Access::Acl(principal, rule) => Change::RemoveAcl(principal, rule),
                Access::Quota(user, key) => Change::Quota(user, key, None),
            });
        }
    }

    fn quiet_pass(&mut self, asked: Option<Asked>) -> Result<(), String> {
        self.world.give(0, Job { declared: self.declared.clone(), asked, kill: None, freeze: None });
        self.live_through()
    }

    /// Users whose given password was stolen, and is still given.
    fn stolen(&self) -> Vec<NamespacedName> {
        let ended = self.world.last_end().map(|end| end.ended).unwrap_or_default();
        let is_stolen = |end: &Finished| matches!(end, Finished::Failed(failed) if failed.effect == "material");
        ended.into_iter().filter(|(_, end)| is_stolen(end)).map(|(user, _)| user).collect()
    }

    /// Users that wait for somebody to say something.
    fn waiting(&self) -> Result<Vec<NamespacedName>, String> {
        let listed = self.world.store.list_records().now_or_never().expect("at once");
        let mut waiting = Vec::new();
        for (user, record) in listed.map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?.value;
            if matches!(record.phase, Phase::Published | Phase::Confirmed | Phase::Revoking) {
                waiting.push(user);
            }
        }
        Ok(waiting)
    }

    /// At the end Kafka holds what the records and documents name, and nothing else (I8).
    pub(super) fn compare(&self) -> Result<(), String> {
        let listed = self.world.store.list_records().now_or_never().expect("at once");
        let records = listed.map_err(|error| error.to_string())?;
        let watch = self.world.watch();
        for (name, cluster) in &self.world.clusters {
            let mut credentials: BTreeMap<(UserName, Mechanism), StoredCredential> = BTreeMap::new();
            for (user, record) in &records {
                let record = &record.as_ref().map_err(ToString::to_string)?.value;
                for slot in record.slots().filter(|_| record.claims_username() && record.clusters.contains_key(name)) {
                    let stored = watch.stored(user, slot.generation).ok_or("a slot without material")?;
                    credentials.insert((slot.username.clone(), slot.mechanism), stored.clone());
                }
            }
            let (mut acls, mut quotas) = (BTreeSet::new(), BTreeSet::new());
            for (user, declared) in &self.declared.users {
                if !declared.clusters.contains(name) {
                    continue;
                }
                for username in declared.usernames(user) {
                    let username = UserName::parse(username).expect("a name");
                    let principal = Principal::of_user(&username);
                    quotas.extend(declared.quota.map(|_| username));
                    acls.extend(declared.topics.iter().map(|&topic| (principal.clone(), topic_name(user, topic))));
                }
            }
            // What was to be adopted and never was is somebody else's.
            let named = records.iter().filter_map(|(_, record)| record.as_ref().ok());
            let named = named.flat_map(|record| record.value.names()).collect::<BTreeSet<_>>();
            cluster.look(|state| {
                let ours = |user: &UserName| {
                    named.contains(user) || (!self.meddled.contains(user) && user.as_str() != "kastellan")
                };
                let found = state.credentials.iter().filter(|((user, _), _)| ours(user));
                let found =
                    found.map(|(slot, credential)| (slot.clone(), credential.clone())).collect::<BTreeMap<_, _>>();
                if found != credentials {
                    let (found, wanted) = (found.keys().collect::<Vec<_>>(), credentials.keys().collect::<Vec<_>>());
                    return Err(format!("{name} holds credentials {found:?}, and should hold {wanted:?}"));
                }
                let found = state.acls.iter().filter(|(principal, _)| principal.user().is_some_and(|user| ours(&user)));
                let found =
                    found.map(|(of, rule)| (of.clone(), rule.resource_name.to_string())).collect::<BTreeSet<_>>();
                if found != acls {
                    return Err(format!("{name} holds ACLs {found:?}, and should hold {acls:?}"));
                }
                let found = state.quotas.keys().cloned().collect::<BTreeSet<_>>();
                if found != quotas {
                    return Err(format!("{name} holds quotas of {found:?}, and should hold some of {quotas:?}"));
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
