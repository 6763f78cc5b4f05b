//! The lines of a revocation: what is cut off, what takes its place, and when access comes back.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{ActionView, Change, Subject, action};
use super::number::{counted, minute};
use super::rotation::{next_number, principal_changes, restarts};
use super::scene::Scene;
use crate::credential::{
    AdoptedSlot, Afterlife, Content, REAUTHENTICATION_MARGIN, Record, Revocation, Revoke, Slot, Transition,
    WantedAuthentication,
};
use crate::names::{ClusterName, UserName};
use crate::spec::format_duration;

pub(super) fn revoke(scene: &Scene<'_>, revoke: &Revoke) -> Vec<ActionView> {
    let Some(record) = scene.record else { return Vec::new() };
    let mut lines = match &record.revocation {
        None => cut(scene, record, revoke),
        Some(revocation) => go_on(scene, record, revocation),
    };
    if record.active.is_none() || record.revocation.is_none() {
        lines.extend(replace(scene, record, revoke));
    }
    lines
}

/// The names whose credentials are revoked.
fn revoked_names(record: &Record) -> BTreeSet<&UserName> {
    record.slots().map(|slot| &slot.username).collect()
}

/// REVOKING begins: everything that is valid goes.
fn cut(scene: &Scene<'_>, record: &Record, revoke: &Revoke) -> Vec<ActionView> {
    let ours = record.slots().map(|slot: &Slot| format!("generation {} ({})", slot.generation, scene.slot(slot)));
    let adopted = record
        .adopted
        .iter()
        .map(|slot: &AdoptedSlot| format!("the adopted {} credential", scene.place(&slot.place())))
        .collect::<BTreeSet<_>>();
    let what = ours.chain(adopted).collect::<Vec<_>>().join(", ");
    let text = format!("revoke {what}: deleted, and never asserted again");
    let line = action(Change::Remove, Subject::Credential, text).on(record.clusters.keys().cloned());
    let fence = scene.fence(&record.places(), Content::None);
    let mut lines = vec![line.because("asked for").later(fence).destructive()];
    lines.extend(cut_access(scene, record, revoke));
    lines
}

/// ACLs that are cut off; clusters on which they come back in the same way share a line.
fn cut_access(scene: &Scene<'_>, record: &Record, revoke: &Revoke) -> Vec<ActionView> {
    let mut grouped: BTreeMap<(usize, &UserName, String), Vec<ClusterName>> = BTreeMap::new();
    for (account, change) in scene.plan.access.iter().filter(|(_, change)| !change.delete.is_empty()) {
        let names = revoked_names(record);
        let Some(name) = names.get(&account.username).filter(|_| record.clusters.contains_key(&account.cluster)) else {
            continue;
        };
        let is_wanted = scene.plan.wanted.as_ref().is_some_and(|wanted| wanted.names().contains(name));
        let back = if is_wanted { back(scene, &account.cluster) } else { "for good".to_owned() };
        grouped.entry((change.delete.len(), *name, back)).or_default().push(account.cluster.clone());
    }
    let at_once = match revoked_names(record).contains(&revoke.place.username) {
        true => String::new(),
        false => format!("; {} has access at once", revoke.place.username),
    };
    let lines = grouped.into_iter().map(|((acls, name, back), clusters)| {
        let text = format!("cut {} of {name} off, open connections included, {back}{at_once}", counted(acls, "ACL"));
        action(Change::Remove, Subject::Acl, text).on(clusters).destructive()
    });
    lines.collect()
}

/// When access comes back to a name whose credential was stolen.
fn back(scene: &Scene<'_>, cluster: &ClusterName) -> String {
    match afterlife(scene, cluster) {
        Afterlife::Ends(after) => format!(
            "for {}, until no connection of before can exist any more",
            format_duration(after + REAUTHENTICATION_MARGIN)
        ),
        Afterlife::Connection => {
            "until the brokers were restarted and `kastellan ack` says so, because connections here \
                                  never end by themselves"
                .to_owned()
        }
        Afterlife::Token => {
            "until no delegation token of the name is left, the brokers were restarted, and `kastellan ack` \
                             says so, because tokens outlive a password"
                .to_owned()
        }
    }
}

/// What outlives a credential on a cluster; as long as that cannot be seen, its connections do.
fn afterlife(scene: &Scene<'_>, cluster: &ClusterName) -> Afterlife {
    let facts = scene.plan.facts.clusters.get(cluster).and_then(|seen| seen.known());
    facts.map_or(Afterlife::Connection, |facts| facts.afterlife)
}

/// REVOKING goes on, cluster by cluster.
fn go_on(scene: &Scene<'_>, record: &Record, revocation: &Revocation) -> Vec<ActionView> {
    let places = revocation.slots.iter().map(Slot::place).collect::<Vec<_>>();
    let numbers = revocation.slots.iter().map(|slot| slot.generation.to_string()).collect::<BTreeSet<_>>();
    let numbers = numbers.into_iter().collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    for (cluster, cut) in &revocation.cuts {
        let line = match (cut.done_at, cut.given_back) {
            (Some(_), true) => continue,
            (Some(at), false) => {
                let text = format!("give back what was cut off with generation {numbers}");
                action(Change::Add, Subject::Acl, text).later(not_before(scene, cluster, at))
            }
            (None, _) => {
                let text = format!("cut generation {numbers} off: its ACLs, open connections included, then itself");
                let line = action(Change::Remove, Subject::Credential, text).destructive();
                line.later(scene.fence(&places, Content::None))
            }
        };
        lines.push(line.on([cluster.clone()]).because("a revocation is under way"));
    }
    if lines.is_empty() {
        let text = format!("close the revocation of generation {numbers}");
        lines.push(action(Change::Change, Subject::Record, text).on(record.clusters.keys().cloned()));
    }
    lines
}

/// Until when access is held back that was cut off at an instant; `None` where this pass gives it back whatever is open.
fn not_before(scene: &Scene<'_>, cluster: &ClusterName, cut_at: jiff::Timestamp) -> Option<String> {
    let is_restarted = scene.plan.transitions.contains(&Transition::Restarted);
    (!is_restarted).then(|| match afterlife(scene, cluster) {
        Afterlife::Ends(after) => {
            format!(
                "not before {}, when no connection of before can exist any more",
                minute(cut_at + after + REAUTHENTICATION_MARGIN)
            )
        }
        Afterlife::Connection => "not before the brokers were restarted and `kastellan ack` says so".to_owned(),
        Afterlife::Token => {
            "not before its delegation tokens are gone and the brokers were restarted, and `kastellan ack` \
                             says so"
                .to_owned()
        }
    })
}

/// What takes the place of what is revoked.
fn replace(scene: &Scene<'_>, record: &Record, revoke: &Revoke) -> Vec<ActionView> {
    let next = record.pending.as_ref().filter(|_| record.revocation.is_some()).map(|slot| slot.generation);
    let next = next.unwrap_or_else(|| next_number(scene));
    let text = format!("a fresh generation {next} into {}, published at once", scene.place(&revoke.place));
    let given = scene.plan.wanted.as_ref().is_some_and(|wanted| match &wanted.authentication {
        WantedAuthentication::Scram { given, .. } => given.is_some(),
        WantedAuthentication::External => false,
    });
    let given = given.then(|| "once the password at its source is another than the one that was revoked".to_owned());
    let fence = scene.fence([&revoke.place], Content::Generation(next));
    let mut lines = vec![
        action(Change::Add, Subject::Credential, text)
            .on(record.clusters.keys().cloned())
            .later(given.into_iter().chain(restarts(scene)).chain(fence)),
    ];
    let used = record.active.as_ref().or_else(|| record.revocation.as_ref().and_then(|now| now.slots.first()));
    lines.extend(used.and_then(|used| principal_changes(&used.place(), &revoke.place)));
    lines
}
