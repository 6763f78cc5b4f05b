//! The lines of a rotation: its beginning, its going on, its end, and what leads out of one.

use std::collections::BTreeSet;

use super::action::{ActionView, Change, Subject, action};
use super::number::minute;
use super::scene::{Scene, replaced};
use crate::credential::{
    AdoptedSlot, Ask, Confirm, Content, Import, Phase, Place, Reason, Record, Recovery, Retirement, Rotate, Transition,
    retirement,
};
use crate::names::{ClusterName, Generation};
use crate::spec::format_duration;

/// Why what is under way goes on.
const UNFINISHED: &str = "an earlier pass did not finish it";

/// The number that the next credential gets, as far as can be told: one that a crashed attempt left is used up.
pub(super) fn next_number(scene: &Scene<'_>) -> Generation {
    let seen = scene.plan.transitions.iter().map(|transition| match transition {
        Transition::Recover(recovery) => recovery.seen,
        Transition::Claim
        | Transition::Provision(_)
        | Transition::Resume(_)
        | Transition::Rotate(_)
        | Transition::Retire
        | Transition::Acknowledge(_)
        | Transition::Restarted
        | Transition::Abort
        | Transition::Revoke(_)
        | Transition::Import(_)
        | Transition::Leave(_)
        | Transition::Pay(_)
        | Transition::Maintain(_)
        | Transition::Delete
        | Transition::Expire(_)
        | Transition::Move(_) => Generation::NONE,
    });
    let known = scene.record.map_or(Generation::NONE, |record| record.allotted);
    seen.fold(known, Generation::max).next()
}

pub(super) fn rotate(scene: &Scene<'_>, rotate: &Rotate) -> Vec<ActionView> {
    let next = next_number(scene);
    let reasons = rotate.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let fence = scene.fence([&rotate.place], Content::Generation(next));
    let on = |line: ActionView| line.on(scene.plan.clusters.clone()).because(reasons.clone());
    let Some((record, active)) = scene.record.and_then(|record| Some((record, record.active.as_ref()?))) else {
        let text = format!("a fresh generation {next} into {}", scene.place(&rotate.place));
        return vec![on(action(Change::Add, Subject::Credential, text)).later(fence)];
    };
    if rotate.overwrites {
        // Of a recovery, other clients have what is delivered already.
        let whom = match rotate.reasons.contains(&Reason::Recovery) {
            true => format!("clients that still use {} out", active.generation),
            false => "clients out until they have the new password".to_owned(),
        };
        let place = scene.place(&rotate.place);
        let text = format!("replace {} by {next} in its very place ({place}), which locks {whom}", active.generation);
        let later = restarts(scene).into_iter().chain(fence);
        return vec![on(action(Change::Change, Subject::Credential, text)).later(later).destructive()];
    }
    let text =
        format!("rotate {} ({}) → {next} ({})", active.generation, scene.slot(active), scene.place(&rotate.place));
    let outlook = old_stays(scene, record).into_iter().chain(restarts(scene)).chain(fence);
    let mut lines = vec![on(action(Change::Change, Subject::Credential, text)).later(outlook)];
    lines.extend(principal_changes(&active.place(), &rotate.place));
    let is_there = |slot: &&AdoptedSlot| slot.place() == rotate.place;
    lines.extend(record.adopted.iter().filter(is_there).map(|slot| replaced(scene, slot)));
    let kept = "`recover --from-deliveries` keeps it, if it is the one that is delivered";
    lines.extend(recovered(scene).filter(is_there).map(|slot| replaced(scene, slot).because(kept)));
    lines
}

/// Unknown credentials that a recovery of this pass takes note of.
fn recovered<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a AdoptedSlot> {
    let recoveries = scene.plan.transitions.iter().filter_map(|transition| {
        if let Transition::Recover(recovery) = transition { Some(&recovery.adopts) } else { None }
    });
    recoveries.flatten()
}

/// Whoever grants by principal has to know.
pub(super) fn principal_changes(from: &Place, to: &Place) -> Option<ActionView> {
    let (from, to) = (&from.username, &to.username);
    (from != to).then(|| {
        let text = format!("the principal changes from User:{from} to User:{to}");
        action(Change::Change, Subject::User, text)
    })
}

/// How long the credential in use stays valid after it was replaced now.
fn old_stays(scene: &Scene<'_>, record: &Record) -> Option<String> {
    let active = record.active.as_ref()?;
    let after = Record {
        phase: Phase::Published,
        previous: Some(Box::new(active.clone())),
        overlap_from: Some(scene.at),
        confirmed_at: None,
        ..record.clone()
    };
    let generation = active.generation;
    Some(match retirement(&after, scene.plan.wanted.as_deref(), None, scene.at) {
        Retirement::Nothing | Retirement::Due => format!("{generation} goes at once"),
        Retirement::At(at) => format!("{generation} stays valid until {}", minute(at)),
        Retirement::Acknowledgement(None) => format!("{generation} stays valid until acknowledged"),
        Retirement::Acknowledgement(Some(at)) => {
            format!("{generation} stays valid until acknowledged, and at least until {}", minute(at))
        }
        Retirement::Rollout { until, .. } => {
            let least = until.map(|at| format!(", and at least until {}", minute(at))).unwrap_or_default();
            format!("{generation} stays valid until what is restarted runs with {}{least}", next_number(scene))
        }
    })
}

/// PREPARED, VERIFIED.
pub(super) fn resume(scene: &Scene<'_>, generation: Generation) -> ActionView {
    let on = |line: ActionView| line.on(scene.plan.clusters.clone()).because(UNFINISHED);
    let rotated = scene.record.filter(|record| !record.is_first());
    let slots = rotated.and_then(|record| Some((record, record.active.as_ref()?, record.pending.as_deref()?)));
    let Some((record, active, pending)) = slots else {
        let text = format!("finish the first provisioning of generation {generation}");
        return on(action(Change::Add, Subject::Credential, text));
    };
    let (old, new) = (active.generation, pending.generation);
    if record.overwrites() {
        let text = format!("finish replacing {old} by {new} in its very place ({})", scene.slot(pending));
        let why = format!("{UNFINISHED}, and clients may be locked out until that is done");
        let line = on(action(Change::Change, Subject::Credential, text)).because(why);
        return line.later(restarts(scene)).destructive();
    }
    let text = match record.phase {
        Phase::Verified => format!("publish {new} ({}), which works everywhere already", scene.slot(pending)),
        Phase::Idle
        | Phase::Prepared
        | Phase::Published
        | Phase::Confirmed
        | Phase::Retiring
        | Phase::Aborting
        | Phase::Revoking
        | Phase::Deleting
        | Phase::Deleted => {
            format!("go on with the rotation {old} ({}) → {new} ({})", scene.slot(active), scene.slot(pending))
        }
    };
    let fence = scene.fence([&pending.place()], Content::Generation(new));
    on(action(Change::Change, Subject::Credential, text))
        .later(old_stays(scene, record).into_iter().chain(restarts(scene)).chain(fence))
}

/// What is restarted for a new credential, where a delivery names anything.
pub(super) fn restarts(scene: &Scene<'_>) -> Option<String> {
    let named = scene.plan.deliveries.values().flat_map(|delivery| delivery.target.restarts());
    let named = named.collect::<BTreeSet<_>>().into_iter().map(ToString::to_string).collect::<Vec<_>>();
    (!named.is_empty()).then(|| format!("restarts {}", named.join(", ")))
}

/// PUBLISHED, CONFIRMED, RETIRING: what is old goes.
pub(super) fn retire(scene: &Scene<'_>) -> Vec<ActionView> {
    let Some(record) = scene.record else { return Vec::new() };
    let reason = why_retired(scene, record);
    let since = record.overlap_from.map(|at| format!(" at {}", minute(at))).unwrap_or_default();
    let replaced = format!("which generation {} replaced{since}", record.generation);
    let places = record.old_places();
    let fence = |place: Place| scene.fence([&place], Content::None);
    let previous = record.previous.iter().map(|previous| {
        let text = format!("retire generation {} ({}), {replaced}", previous.generation, scene.slot(previous));
        let line = action(Change::Remove, Subject::Credential, text).on(record.clusters.keys().cloned());
        line.because(reason.clone()).later(fence(previous.place()))
    });
    // Nobody knows who uses a credential that somebody else made.
    let adopted = record.adopted.iter().filter(|slot| places.contains(&slot.place())).map(|slot| {
        let text = format!("retire the adopted {} credential, {replaced}", scene.place(&slot.place()));
        let line = action(Change::Remove, Subject::Credential, text).on([slot.cluster.clone()]);
        line.because(reason.clone()).later(fence(slot.place())).destructive()
    });
    let lines = previous.chain(adopted).collect::<Vec<_>>();
    if lines.is_empty() {
        return vec![action(Change::Change, Subject::Record, "close the rotation: nothing old is valid any more")];
    }
    lines
}

fn why_retired(scene: &Scene<'_>, record: &Record) -> String {
    let rotation = scene.plan.wanted.as_ref().and_then(|wanted| wanted.rotation.as_ref());
    let is_acknowledged =
        scene.plan.transitions.iter().any(|transition| matches!(transition, Transition::Acknowledge(_)));
    let is_rolled_out = rotation.is_some_and(|rotation| rotation.confirm == Confirm::Rollout);
    match (record.phase, record.confirmed_at, rotation.and_then(|rotation| rotation.overlap)) {
        (Phase::Retiring, ..) => UNFINISHED.to_owned(),
        (_, Some(at), _) => format!("every consumer has moved, as somebody said at {}", minute(at)),
        (_, None, _) if is_acknowledged => "every consumer has moved".to_owned(),
        (_, None, _) if is_rolled_out => "everything that was restarted runs with the new one".to_owned(),
        (_, None, Some(overlap)) => format!("its overlap of {} is over", format_duration(overlap)),
        (_, None, None) => "its time is over".to_owned(),
    }
}

pub(super) fn abort(scene: &Scene<'_>) -> ActionView {
    let is_asked = scene.options.asked.as_ref().is_some_and(|asked| asked.what == Ask::Abort);
    let reason = match scene.record.map(|record| record.phase) {
        Some(Phase::Aborting) => UNFINISHED,
        _ if is_asked => "asked for",
        _ => "the documents ask for something else now",
    };
    let Some(pending) = scene.record.and_then(|record| record.pending.as_deref()) else {
        return action(Change::Remove, Subject::Credential, "take back what is pending").because(reason);
    };
    let text = format!(
        "take back generation {} ({}), which nobody has seen; its number is used up",
        pending.generation,
        scene.slot(pending)
    );
    let line = action(Change::Remove, Subject::Credential, text).on(scene.plan.clusters.clone());
    line.because(reason).later(scene.fence([&pending.place()], Content::None))
}

pub(super) fn recover(scene: &Scene<'_>, recovery: &Recovery) -> Vec<ActionView> {
    let restored = "the store was restored from an older snapshot";
    let known = scene.record.map_or(Generation::NONE, |record| record.allotted);
    let seen = (recovery.seen > known).then(|| {
        let text = format!(
            "take note of generation {}, which is delivered; the store knows none above {known}",
            recovery.seen
        );
        action(Change::Change, Subject::Record, text).because(restored)
    });
    let rotates_into =
        scene.plan.transitions.iter().filter_map(|transition| {
            if let Transition::Rotate(rotate) = transition { Some(&rotate.place) } else { None }
        });
    let replaced = rotates_into.collect::<Vec<_>>();
    let strangers = recovery.adopts.iter().filter(|slot| !replaced.contains(&&slot.place())).map(|slot| {
        let place = scene.place(&slot.place());
        let text = format!("the {place} credential that the store does not know stays valid until it is retired");
        action(Change::Change, Subject::Credential, text).on([slot.cluster.clone()]).because(restored)
    });
    seen.into_iter().chain(strangers).collect()
}

pub(super) fn import(scene: &Scene<'_>, import: &Import) -> Vec<ActionView> {
    let (generation, delivery) = (import.generation, &import.delivery);
    let text = format!("keep generation {generation}, as delivery `{delivery}` carries it, if it logs in everywhere");
    let known = scene.record.and_then(|record| record.active.as_ref()).map(|slot| {
        format!(
            "generation {}, which the store calls the published one, stays valid beside it where it still is",
            slot.generation
        )
    });
    let line = action(Change::Change, Subject::Credential, text).on(scene.plan.clusters.clone());
    let places = import.strangers.iter().map(AdoptedSlot::place).collect::<BTreeSet<_>>();
    let mut lines = vec![line.because("the store was restored from an older snapshot").later(known)];
    if places.len() > 1 {
        let text =
            "credentials that the store does not know, and that are not the delivered one, stay valid until retired";
        lines.push(action(Change::Change, Subject::Record, text));
    }
    lines
}

pub(super) fn leave(scene: &Scene<'_>, clusters: &BTreeSet<ClusterName>) -> Vec<ActionView> {
    let paid = paid(scene);
    let line = |cluster: &ClusterName| {
        let is_reached = paid.contains(cluster);
        let text = match is_reached {
            true => "leaves the cluster with its credentials, ACLs and quotas",
            false => "leaves the cluster",
        };
        let later = (!is_reached).then(|| "it cannot be reached, and what it holds goes when it is back".to_owned());
        let line = action(Change::Remove, Subject::User, text).on([cluster.clone()]);
        line.because("its document does not name it any more").later(later).destructive()
    };
    clusters.iter().map(line).collect()
}

/// Clusters whose debt is paid in this pass.
fn paid<'a>(scene: &Scene<'a>) -> BTreeSet<&'a ClusterName> {
    let pays = scene
        .plan
        .transitions
        .iter()
        .filter_map(|transition| if let Transition::Pay(clusters) = transition { Some(clusters) } else { None });
    pays.flatten().collect()
}

/// What is left on clusters that left in an earlier pass; those that leave in this one have a line already.
pub(super) fn pay(scene: &Scene<'_>, clusters: &BTreeSet<ClusterName>) -> Vec<ActionView> {
    let leaving = scene
        .plan
        .transitions
        .iter()
        .filter_map(|transition| if let Transition::Leave(clusters) = transition { Some(clusters) } else { None });
    let leaving = leaving.flatten().collect::<BTreeSet<_>>();
    let owing = clusters.iter().filter(|cluster| !leaving.contains(cluster));
    let line = |cluster: &ClusterName| {
        let owed = scene.record.and_then(|record| record.owed.get(cluster));
        let slots = owed.map_or(&[][..], |owed| &owed.slots);
        let slots = slots.iter().map(|slot| format!("generation {} ({})", slot.generation, scene.slot(slot)));
        let slots = slots.collect::<Vec<_>>();
        let what = if slots.is_empty() { "everything".to_owned() } else { slots.join(", ") };
        let places = owed.map(|owed| owed.slots.iter().map(crate::credential::Slot::place).collect::<Vec<_>>());
        let text = format!("take away what the cluster still holds of the user: {what}");
        let line = action(Change::Remove, Subject::Credential, text).on([cluster.clone()]);
        line.because("it could not be reached before").later(scene.fence(&places.unwrap_or_default(), Content::None))
    };
    owing.map(line).collect()
}
