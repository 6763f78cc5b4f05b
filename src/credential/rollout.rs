//! Whether every workload that a rotation restarted runs with the new credential and nothing else.
//!
//! A workload is done when its controller has seen the marker, all its replicas are updated and available, and no pod with
//! another marker is left, one that is ending included: it still holds the old credential. A workload that is scaled to zero
//! is done as soon as it has no pod. One that is not there, and one that could not be seen, is not done: nobody knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Seen, Slot};
use crate::spec::Workload;

/// What was seen of the workloads that the deliveries of one user name, while an old credential waits for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rollout {
    /// [`Slot::marker`] of the credential that was the active one when this was seen.
    pub marker: String,
    /// By name; `None` for one that is not there.
    pub workloads: BTreeMap<Workload, Seen<Option<WorkloadSeen>>>,
}

/// One workload, as Kubernetes tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WorkloadSeen {
    /// The marker in its pods' template; `None` if it has none of this user.
    pub marker: Option<String>,
    /// Whether its controller has seen that template.
    pub is_observed: bool,
    /// Replicas asked for.
    pub wanted: u32,
    /// Replicas that there are.
    pub total: u32,
    /// Replicas made of that template.
    pub updated: u32,
    /// Replicas that are ready, and have been for as long as the workload asks.
    pub available: u32,
    /// Why its controller does not go on by itself, e.g. `ProgressDeadlineExceeded`.
    pub stalled: Option<String>,
    /// Its pods by their marker, those that are ending included, without those that have ended.
    pub pods: BTreeMap<Option<String>, u32>,
}

/// What an old credential still waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// Which workloads and why, for people.
    pub why: Arc<str>,
    /// Whether somebody has to do something: it does not come by itself, or cannot be seen.
    pub is_stuck: bool,
}

impl Slot {
    /// What a restarted workload carries: the identity of the credential (R9), e.g. "3-8f14e45f…".
    pub fn marker(&self) -> String {
        format!("{}-{}", self.generation, self.rotation_id)
    }
}

/// What a rollout of `active` still waits for; `None` when every workload is done.
pub(super) fn outstanding(rollout: Option<&Rollout>, active: &Slot) -> Option<Outstanding> {
    let marker = active.marker();
    // What was seen of an earlier credential tells nothing: the Secret held that one then.
    let Some(rollout) = rollout.filter(|seen| seen.marker == marker && !seen.workloads.is_empty()) else {
        let why = "its workloads were not looked at since they were restarted; the next `apply` does".into();
        return Some(Outstanding { why, is_stuck: false });
    };
    let mut lines = Vec::new();
    let mut is_stuck = false;
    for (workload, seen) in &rollout.workloads {
        let left = match seen {
            Seen::Known(Some(seen)) => seen.left(&marker),
            Seen::Known(None) => Some(Left::Stuck(format!("it is not there; {OTHERWISE}"))),
            Seen::Unknown(why) => Some(Left::Stuck(why.to_string())),
        };
        let Some(left) = left else { continue };
        is_stuck |= matches!(left, Left::Stuck(_));
        let (Left::Rolling(why) | Left::Stuck(why)) = left;
        lines.push(format!("{workload}: {why}"));
    }
    (!lines.is_empty()).then(|| Outstanding { why: lines.join("; ").into(), is_stuck })
}

/// The way out where waiting leads nowhere.
const OTHERWISE: &str = "take it out of `restart`, or say with `kastellan ack` that every consumer has moved";

/// What one workload still waits for.
enum Left {
    /// Its controller, or its pods.
    Rolling(String),
    /// Somebody.
    Stuck(String),
}

impl WorkloadSeen {
    fn left(&self, marker: &str) -> Option<Left> {
        let older = self.pods.iter().filter(|(found, _)| found.as_deref() != Some(marker)).map(|(_, count)| count);
        let older = older.sum::<u32>();
        let older_pods =
            || (older > 0).then(|| format!("{older} older {} left", if older == 1 { "pod is" } else { "pods are" }));
        if self.wanted == 0 {
            return older_pods().map(|why| Left::Rolling(format!("it is scaled to zero, and {why}")));
        }
        if self.marker.as_deref() != Some(marker) {
            let why = "its pods' template does not carry the marker of this rotation: somebody took it away, or made the \
                       workload anew";
            return Some(Left::Stuck(format!(
                "{why}; restart it, and say with `kastellan ack` that every consumer has moved"
            )));
        }
        if !self.is_observed {
            return Some(Left::Rolling("its controller has not seen the restart yet".to_owned()));
        }
        let wanted = self.wanted;
        let why = if self.updated < wanted {
            format!("{} of {wanted} replicas are updated", self.updated)
        } else if self.available < wanted {
            format!("{} of {wanted} replicas are ready", self.available)
        } else if let Some(why) = older_pods() {
            why
        } else if self.total > self.updated {
            format!("{} older replicas are left", self.total - self.updated)
        } else {
            return None;
        };
        Some(match &self.stalled {
            Some(reason) => Left::Stuck(format!("{why}, and it does not go on ({reason})")),
            None => Left::Rolling(why),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = "3-x";

    fn done() -> WorkloadSeen {
        WorkloadSeen {
            marker: Some(MARKER.to_owned()),
            is_observed: true,
            wanted: 2,
            total: 2,
            updated: 2,
            available: 2,
            stalled: None,
            pods: BTreeMap::from([(Some(MARKER.to_owned()), 2)]),
        }
    }

    /// What is said of one workload, with "!" before it where somebody has to act; "" if it is done.
    fn said(seen: WorkloadSeen) -> String {
        match seen.left(MARKER) {
            None => String::new(),
            Some(Left::Rolling(why)) => why,
            Some(Left::Stuck(why)) => format!("!{why}"),
        }
    }

    #[test]
    fn a_workload_is_done_only_when_nothing_older_is_left() {
        assert_eq!(said(done()), "");
        let stages = [
            (WorkloadSeen { is_observed: false, ..done() }, "its controller has not seen the restart yet"),
            (WorkloadSeen { updated: 1, ..done() }, "1 of 2 replicas are updated"),
            (WorkloadSeen { available: 1, ..done() }, "1 of 2 replicas are ready"),
            (WorkloadSeen { total: 3, ..done() }, "1 older replicas are left"),
        ];
        for (seen, expected) in stages {
            assert_eq!(said(seen), expected);
        }
        // One that is ending is not among the replicas any more, and still holds the old credential.
        let mut ending = done();
        ending.pods.insert(Some("2-w".to_owned()), 1);
        assert_eq!(said(ending.clone()), "1 older pod is left");
        ending.pods.insert(None, 1);
        assert_eq!(said(ending), "2 older pods are left");
        let stalled = WorkloadSeen { updated: 1, stalled: Some("ProgressDeadlineExceeded".to_owned()), ..done() };
        assert_eq!(said(stalled), "!1 of 2 replicas are updated, and it does not go on (ProgressDeadlineExceeded)");
        // A rollout that is complete is so, whatever its controller last complained about.
        assert_eq!(said(WorkloadSeen { stalled: Some("Paused".to_owned()), ..done() }), "");
    }

    #[test]
    fn scaled_to_zero_is_done_without_pods_and_a_lost_marker_is_told() {
        let none = WorkloadSeen::default();
        assert_eq!(said(none.clone()), "");
        let pods = BTreeMap::from([(None, 1)]);
        assert_eq!(said(WorkloadSeen { pods, ..none }), "it is scaled to zero, and 1 older pod is left");
        for marker in [None, Some("2-w".to_owned())] {
            assert!(said(WorkloadSeen { marker, ..done() }).starts_with("!its pods' template does not carry"));
        }
    }
}
