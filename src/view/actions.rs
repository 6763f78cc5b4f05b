//! What would be done for one user, in lines.

use super::access::{access_lines, quota_lines};
use super::action::{ActionView, Change, Subject, action};
use super::number::{counted, counted_as};
use super::scene::{Scene, replaced};
use super::{revocation, rotation};
use crate::credential::{
    AdoptedSlot, Content, DeliveryState, Drift, Maintenance, Phase, Place, Provision, Record, Slot, Transition,
};
use crate::names::{ClusterName, DeliveryName, Generation, UserName};
use crate::plan::UserPlan;
use crate::state::AccessChange;

pub(super) fn actions(scene: &Scene<'_>) -> Vec<ActionView> {
    let plan = scene.plan;
    let mut actions = Vec::new();
    for transition in &plan.transitions {
        match transition {
            Transition::Claim => actions.push(
                action(Change::Add, Subject::User, "take note of it; somebody else authenticates it")
                    .on(plan.clusters.clone()),
            ),
            Transition::Provision(provision) => provision_actions(scene, provision, &mut actions),
            Transition::Resume(generation) => actions.push(rotation::resume(scene, *generation)),
            Transition::Rotate(rotate) => actions.extend(rotation::rotate(scene, rotate)),
            Transition::Retire => actions.extend(rotation::retire(scene)),
            Transition::Acknowledge(generation) => {
                let text = format!("take note that every consumer has moved to generation {generation}");
                actions.push(action(Change::Change, Subject::Record, text).because("somebody says so"));
            }
            Transition::Restarted => {
                let text = "take note that the brokers were restarted since the revocation";
                actions.push(action(Change::Change, Subject::Record, text).because("somebody says so"));
            }
            Transition::Abort => actions.push(rotation::abort(scene)),
            Transition::Revoke(revoke) => actions.extend(revocation::revoke(scene, revoke)),
            Transition::Recover(recovery) => actions.extend(rotation::recover(scene, recovery)),
            Transition::Import(import) => actions.extend(rotation::import(scene, import)),
            Transition::Leave(clusters) => actions.extend(rotation::leave(scene, clusters)),
            Transition::Pay(clusters) => actions.extend(rotation::pay(scene, clusters)),
            Transition::Maintain(todo) => maintenance_actions(scene, todo, &mut actions),
            Transition::Delete => actions.push(deletion_action(scene)),
            Transition::Expire(generation) => {
                let text = format!("destroy the kept password of generation {generation}");
                actions.push(action(Change::Remove, Subject::Record, text).because("its time for undo is over"));
            }
            Transition::Move(to) => {
                let text =
                    format!("moves from store `{}` to `{to}` as it is: same generation, same password", plan.store);
                actions.push(action(Change::Change, Subject::User, text));
            }
        }
    }
    takeover_actions(plan, &mut actions);
    if !plan.transitions.contains(&Transition::Delete) {
        access_actions(plan, &mut actions);
    }
    actions
}

fn provision_actions(scene: &Scene<'_>, provision: &Provision, actions: &mut Vec<ActionView>) {
    let plan = scene.plan;
    let generation = scene.record.map_or(Generation::NONE, |record| record.allotted).next();
    let place = Place { username: provision.username.clone(), mechanism: provision.mechanism };
    let places = match plan.deliveries.len() {
        0 => "the store".to_owned(),
        count => format!("the store and {}", counted(count, "place")),
    };
    let text = format!(
        "generation {generation} into {}; login on {}; publish to {places}",
        scene.place(&place),
        counted(scene.brokers(&plan.clusters), "broker"),
    );
    // An undo repeats the content that the deletion took away; a fence that is in its way is that of the deletion.
    let fence = scene.fence([&place], Content::Generation(generation));
    let mut line = action(Change::Add, Subject::Credential, text).on(plan.clusters.clone()).later(fence);
    if let Some(restored) = provision.restores {
        line = line.because(format!(
            "the user is back within its time for undo: the password of generation {restored} comes back, by the other \
             mechanism if that is allowed and the fence of the deletion still holds this one"
        ));
    }
    actions.push(line);
    for slot in &provision.adopts {
        let is_replaced = provision.replaces && slot.place() == place;
        actions.push(if is_replaced { replaced(scene, slot).because("`adopt`") } else { adopted(scene, slot) });
    }
}

/// An unknown credential is taken note of.
fn adopted(scene: &Scene<'_>, slot: &AdoptedSlot) -> ActionView {
    let text =
        format!("the unknown {} credential is adopted and stays valid until it is retired", scene.place(&slot.place()));
    action(Change::Change, Subject::Credential, text).on([slot.cluster.clone()]).because("`adopt`")
}

fn maintenance_actions(scene: &Scene<'_>, todo: &Maintenance, actions: &mut Vec<ActionView>) {
    let record = scene.record;
    let joins = |cluster: &ClusterName| record.is_some_and(|record| !record.clusters.contains_key(cluster));
    for (cluster, id) in &todo.rebind {
        actions.push(if joins(cluster) {
            action(Change::Add, Subject::User, "joins the cluster").on([cluster.clone()])
        } else {
            let text = format!("take note of the cluster's new id {id}");
            action(Change::Change, Subject::Record, text).on([cluster.clone()]).because("it was rebuilt")
        });
    }
    let slots = [(record.and_then(|record| record.active.as_ref()), &todo.reassert)];
    let previous = (record.and_then(|record| record.previous.as_deref()), &todo.reassert_previous);
    for (slot, drifted) in slots.into_iter().chain([previous]) {
        let Some(slot) = slot else { continue };
        for (cluster, drift) in drifted {
            let line = if joins(cluster) {
                let brokers = counted(scene.brokers([cluster]), "broker");
                let text = format!("generation {} into {}; login on {brokers}", slot.generation, scene.slot(slot));
                action(Change::Add, Subject::Credential, text)
            } else {
                reasserted(scene, slot, *drift)
            };
            let fence = scene.fence([&slot.place()], Content::Generation(slot.generation));
            actions.push(line.on([cluster.clone()]).later(fence));
        }
    }
    actions.extend(todo.adopts.iter().map(|slot| adopted(scene, slot)));
    if let Some(why) = &todo.republish {
        let text = "write the credential document again";
        actions.push(action(Change::Change, Subject::Document, text).because(&**why));
    }
    for (name, why) in todo.deliver.iter().filter(|(name, _)| takeover(scene.plan, name).is_none()) {
        actions.push(action(Change::Change, Subject::Delivery, format!("write `{name}`")).because(&**why));
    }
    for name in &todo.recall {
        let text = format!("remove `{name}`");
        actions
            .push(action(Change::Remove, Subject::Delivery, text).because("it is not declared any more").destructive());
    }
    if let Some(policy) = todo.deletion_policy {
        actions.push(action(Change::Change, Subject::Record, format!("deletion policy becomes {policy:?}")));
    }
    if !todo.destroy.is_empty() {
        let numbers = todo.destroy.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        actions.push(action(
            Change::Remove,
            Subject::Record,
            format!("destroy the retired password of generation {numbers}"),
        ));
    }
}

/// What is somebody else's and is taken over by whatever writes deliveries in this pass.
fn takeover_actions(plan: &UserPlan, actions: &mut Vec<ActionView>) {
    for name in plan.facts.deliveries.keys() {
        if plan.transitions.iter().any(|transition| writes(transition, name)) {
            actions.extend(takeover(plan, name));
        }
    }
}

fn takeover(plan: &UserPlan, name: &DeliveryName) -> Option<ActionView> {
    match plan.facts.deliveries.get(name)? {
        DeliveryState::Pending { taken_from: Some(whose), target, .. } => {
            let text = format!("take over Secret `{target}`, and write our keys into it");
            Some(action(Change::Change, Subject::Delivery, text).because(format!("`adopt`; {whose}")).destructive())
        }
        DeliveryState::Pending { taken_from: None, .. }
        | DeliveryState::InStep
        | DeliveryState::Surplus
        | DeliveryState::Refused { .. }
        | DeliveryState::Ahead(_)
        | DeliveryState::Unknown { .. } => None,
    }
}

/// Whether a transition may write this delivery.
fn writes(transition: &Transition, name: &DeliveryName) -> bool {
    match transition {
        Transition::Provision(_)
        | Transition::Resume(_)
        | Transition::Rotate(_)
        | Transition::Revoke(_)
        | Transition::Import(_) => true,
        Transition::Maintain(todo) => todo.deliver.contains_key(name),
        Transition::Claim
        | Transition::Retire
        | Transition::Acknowledge(_)
        | Transition::Restarted
        | Transition::Abort
        | Transition::Recover(_)
        | Transition::Leave(_)
        | Transition::Pay(_)
        | Transition::Delete
        | Transition::Expire(_)
        | Transition::Move(_) => false,
    }
}

/// The same credential again, where it was.
fn reasserted(scene: &Scene<'_>, slot: &Slot, drift: Drift) -> ActionView {
    let reason = match drift {
        Drift::Missing => "it is not there",
        Drift::Changed => "somebody changed it",
    };
    let text = format!("assert generation {} in {} again; no new password", slot.generation, scene.slot(slot));
    action(Change::Change, Subject::Credential, text).because(reason)
}

fn deletion_action(scene: &Scene<'_>) -> ActionView {
    let Scene { plan, record, options, .. } = *scene;
    let mut parts = Vec::new();
    let acls = plan.access.values().map(|change| change.delete.len()).sum::<usize>();
    let quotas = plan.access.values().filter_map(|change| change.quotas).map(|change| change.removed()).sum::<usize>();
    let slots = record.into_iter().flat_map(Record::slots);
    parts.extend(slots.map(|slot| format!("its {} credential (generation {})", scene.slot(slot), slot.generation)));
    parts.extend((acls > 0).then(|| counted(acls, "ACL")));
    parts.extend((quotas > 0).then(|| counted(quotas, "quota")));
    let deliveries = record.map_or(0, |record| record.deliveries.len());
    parts.extend((deliveries > 0).then(|| counted_as(deliveries, "delivery", "deliveries")));
    let what = if parts.is_empty() { String::new() } else { format!(" with {}", parts.join(", ")) };
    let is_under_way = record.is_some_and(|record| record.phase == Phase::Deleting);
    let days = options.undo_for.as_secs() / 86_400;
    let (text, reason) = if is_under_way {
        (format!("finish its deletion{what}"), "an earlier apply was interrupted".to_owned())
    } else {
        let undo = if days > 0 {
            counted(usize::try_from(days).unwrap_or(usize::MAX), "day")
        } else {
            format!("{} s", options.undo_for.as_secs())
        };
        (format!("deleted{what}; can be undone for {undo}"), "no document declares it".to_owned())
    };
    let places = record.map(Record::places).unwrap_or_default();
    let line = action(Change::Remove, Subject::User, text).on(plan.clusters.clone()).because(reason);
    line.later(scene.fence(&places, Content::None)).destructive()
}

/// ACLs and quotas; accounts with the same change share their lines.
fn access_actions(plan: &UserPlan, actions: &mut Vec<ActionView>) {
    let mut by_name: Vec<(&UserName, &AccessChange, Vec<ClusterName>)> = Vec::new();
    for (account, change) in plan.access_due() {
        match by_name.iter_mut().find(|(name, known, _)| **name == account.username && *known == change) {
            Some((_, _, clusters)) => clusters.push(account.cluster.clone()),
            None => by_name.push((&account.username, change, vec![account.cluster.clone()])),
        }
    }
    let mut grouped: Vec<(&AccessChange, Vec<ClusterName>, Vec<UserName>)> = Vec::new();
    for (name, change, clusters) in by_name {
        match grouped.iter_mut().find(|(known, there, _)| *known == change && *there == clusters) {
            Some((_, _, names)) => names.push(name.clone()),
            None => grouped.push((change, clusters, vec![name.clone()])),
        }
    }
    for (change, clusters, names) in grouped {
        let mut lines = Vec::new();
        change_lines(change, why_taken(plan, &clusters, &names), &mut lines);
        let is_own = names == [plan.username.clone()];
        actions.extend(lines.into_iter().map(|line| ActionView {
            names: if is_own { Vec::new() } else { names.clone() },
            ..line.on(clusters.clone())
        }));
    }
}

/// Why access that exists is taken away.
fn why_taken(plan: &UserPlan, clusters: &[ClusterName], names: &[UserName]) -> &'static str {
    let Some(wanted) = &plan.wanted else { return "not declared" };
    if !clusters.iter().any(|cluster| wanted.clusters.contains(cluster)) {
        "the user left the cluster"
    } else if !names.iter().any(|name| wanted.names().contains(name)) {
        "the user gives the name up"
    } else {
        "not declared"
    }
}

fn change_lines(change: &AccessChange, why_taken: &str, lines: &mut Vec<ActionView>) {
    for line in access_lines(&change.create) {
        lines.push(action(Change::Add, Subject::Acl, line.text));
    }
    for line in access_lines(&change.delete) {
        lines.push(action(Change::Remove, Subject::Acl, line.text).because(why_taken).destructive());
    }
    let Some(quotas) = change.quotas else { return };
    if quotas.to.is_empty() {
        let text = quota_lines(&quotas.from).join(", ");
        lines.push(action(Change::Remove, Subject::Quota, text).because(why_taken).destructive());
    } else if quotas.from.is_empty() {
        lines.push(action(Change::Add, Subject::Quota, quota_lines(&quotas.to).join(", ")));
    } else {
        let was = format!("was {}", quota_lines(&quotas.from).join(", "));
        lines.push(action(Change::Change, Subject::Quota, quota_lines(&quotas.to).join(", ")).because(was));
    }
}
