//! What the lines of one user's plan tell of.

use super::action::{ActionView, Change, Subject, action};
use crate::credential::{AdoptedSlot, Content, Place, Record, Slot, Watch, fence_remaining};
use crate::names::{BootInstant, ClusterName, Now};
use crate::plan::{Options, UserPlan};
use crate::state::{Desired, Observed};

/// One user's plan with everything its lines tell of.
pub(super) struct Scene<'a> {
    pub plan: &'a UserPlan,
    pub record: Option<&'a Record>,
    pub options: &'a Options,
    /// When the plan was made, UTC.
    pub at: jiff::Timestamp,
    observed: &'a Observed,
    fence: std::time::Duration,
}

impl<'a> Scene<'a> {
    pub fn new(
        plan: &'a UserPlan,
        desired: &Desired,
        observed: &'a Observed,
        options: &'a Options,
        at: jiff::Timestamp,
    ) -> Self {
        let record = plan.record.as_ref().map(|record| &record.value);
        Self { plan, record, options, at, observed, fence: desired.fence(plan.clusters.iter()) }
    }

    pub fn brokers<'c>(&self, clusters: impl IntoIterator<Item = &'c ClusterName>) -> usize {
        let clusters = clusters.into_iter().filter_map(|name| self.observed.clusters.get(name)?.known());
        clusters.map(|cluster| cluster.brokers.len()).sum()
    }

    /// How long a change of some places may have to wait until no earlier request can still be on its way.
    pub fn fence<'p>(&self, places: impl IntoIterator<Item = &'p Place>, content: Content) -> Option<String> {
        let permits = &self.record?.permits;
        // Whoever plans has not watched the permits, nor has whoever applies the plan later.
        let (watch, now) = (Watch::default(), Now { wall: self.at, boot: BootInstant(std::time::Duration::ZERO) });
        let waits = places.into_iter().map(|place| fence_remaining(permits, place, content, &watch, self.fence, now));
        let longest = waits.max().filter(|wait| !wait.is_zero())?;
        Some(format!("waits up to {} s for a fence", longest.as_secs()))
    }

    /// A credential as lines call it: its mechanism, with the name in Kafka where that is not the user's own.
    pub fn place(&self, place: &Place) -> String {
        match place.username == self.plan.username {
            true => place.mechanism.to_string(),
            false => format!("{}, {}", place.username, place.mechanism),
        }
    }

    /// As [`Scene::place`].
    pub fn slot(&self, slot: &Slot) -> String {
        self.place(&slot.place())
    }
}

/// An unknown credential makes place.
pub(super) fn replaced(scene: &Scene<'_>, slot: &AdoptedSlot) -> ActionView {
    let text = format!("the unknown {} credential is replaced, whoever uses it", scene.place(&slot.place()));
    action(Change::Remove, Subject::Credential, text).on([slot.cluster.clone()]).destructive()
}
