//! Permits: what the record allows to be sent to one slot, until when (R1).
//!
//! Kafka cannot tell a late request from a fresh one. So a request that alters a slot leaves only under a permit in the
//! record, and a slot gets *different* content only when every permit for other content can no longer have a request on
//! its way: a fence after its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{Phase, Record, Slot};
use crate::names::{BootInstant, Generation, Mechanism, Now, UserName};

/// Longest life of a permit; half a fence where that is shorter, so that the fence always outlasts a permit.
const PERMIT_MAX: Duration = Duration::from_secs(30);

/// Wall clocks of two machines are taken to agree within this; past it, a permit's own `until` can be believed (R1).
const CLOCKS_AGREE_WITHIN: Duration = Duration::from_secs(3600);

/// When every broker has applied a change, also under load (kafka.md §3).
const KNOWN_AFTER: Duration = Duration::from_secs(5);

/// Random id of one permit; in records 16 hexadecimal digits, because JSON's readers lose digits of large numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitId(pub u64);

impl serde::Serialize for PermitId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> serde::Deserialize<'de> for PermitId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A slot by its place in Kafka, whatever it holds: a user name and a mechanism.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The name in Kafka.
    pub username: UserName,
    /// The mechanism.
    pub mechanism: Mechanism,
}

/// What a slot may be made to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The credential of this generation.
    Generation(Generation),
    /// Nothing.
    None,
}

/// What records say of places that are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownPlaces {
    /// Another process may be emptying them at this moment: whoever asks a broker for the salt of a credential that is gone by
    /// then has caused a failed authentication (kafka.md §4). What stands there is known by what Describe tells.
    pub emptied: BTreeSet<Place>,
    /// What stands there has logged in on every broker. Anywhere else somebody may have put a credential a moment ago, and a
    /// broker that shows it to Describe may not accept it yet (kafka.md §3): asked for its salt then, it counts a failed
    /// authentication too.
    pub settled: BTreeSet<Place>,
}

impl Extend<Self> for KnownPlaces {
    fn extend<I: IntoIterator<Item = Self>>(&mut self, others: I) {
        for Self { emptied, settled } in others {
            self.emptied.extend(emptied);
            self.settled.extend(settled);
        }
    }
}

/// Leave to send one content to one slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Permit {
    /// Its id.
    pub id: PermitId,
    /// The slot: the name in Kafka,
    pub username: UserName,
    /// and the mechanism.
    pub mechanism: Mechanism,
    /// What may be sent.
    pub content: Content,
    /// Seconds it lasts, so that another process knows how long to watch it.
    pub lasts_secs: u64,
    /// Its end by the wall clock of the process that wrote it, UTC.
    pub until: Timestamp,
}

/// When this process first saw each permit, on its own boot clock.
#[derive(Debug, Clone, Default)]
pub struct Watch(BTreeMap<PermitId, BootInstant>);

impl Watch {
    /// Starts to watch the permits of a record that are not watched yet. One that was over long before is not watched: there
    /// the wall clock is believed, as it is now.
    pub fn see(&mut self, record: &Record, now: Now) {
        for permit in record.permits.iter().filter(|permit| !permit.is_long_past(now)) {
            self.0.entry(permit.id).or_insert(now.boot);
        }
    }

    /// Notes a permit that this process is about to write. Its life is counted from before the write.
    pub fn issue(&mut self, permit: &Permit, boot: BootInstant) {
        self.0.insert(permit.id, boot);
    }

    /// How long until `permit` can have no request on its way any more; zero when it is over.
    fn remaining(&self, permit: &Permit, fence: Duration, now: Now) -> Duration {
        let whole = Duration::from_secs(permit.lasts_secs) + fence;
        match self.0.get(&permit.id) {
            // A wall clock that is set while this process watches says nothing about how long that was (R1).
            Some(&since) => whole.saturating_sub(now.boot.since(since)),
            None if permit.is_long_past(now) => Duration::ZERO,
            None => whole,
        }
    }

    /// What a record says of its places to the process that has the `own` permits.
    pub fn known_places(
        &self,
        record: &Record,
        own: &BTreeMap<Place, PermitId>,
        fence: Duration,
        now: Now,
    ) -> KnownPlaces {
        let is_own = |permit: &Permit| own.get(&permit.place()) == Some(&permit.id);
        let (emptying, filling): (Vec<_>, Vec<_>) =
            record.permits.iter().partition(|permit| permit.content == Content::None);
        let emptied = emptying.into_iter().filter(|one| !is_own(one) && self.may_empty(record, one, fence, now));
        let filled: BTreeSet<_> =
            filling.into_iter().filter(|one| may_have_filled(record, one, now)).map(Permit::place).collect();
        let published = record.active.iter().chain(record.previous.as_deref()).map(Slot::place);
        let adopted = record.adopted.iter().map(|slot| slot.place());
        let settled = published.chain(adopted).filter(|place| !filled.contains(place));
        KnownPlaces { emptied: emptied.map(Permit::place).collect(), settled: settled.collect() }
    }

    fn may_empty(&self, record: &Record, permit: &Permit, fence: Duration, now: Now) -> bool {
        // Where a phase has ended that empties places, they are empty, and brokers learn of it within seconds; whatever stands
        // there after that is looked at (R6). Nothing is put there before the fence.
        let is_emptying = match record.phase {
            Phase::Retiring | Phase::Aborting | Phase::Revoking | Phase::Deleting => true,
            Phase::Idle | Phase::Prepared | Phase::Verified | Phase::Published | Phase::Confirmed | Phase::Deleted => {
                false
            }
        };
        let is_owed = || record.owed.values().flat_map(|owed| &owed.slots).any(|slot| permit.is_about(&slot.place()));
        permit.is_fresh(now) || (is_emptying || is_owed()) && !self.remaining(permit, fence, now).is_zero()
    }

    /// The instant before which a request under `permit` may be sent by this process; `None` if it is not this
    /// process's own, or over.
    pub fn not_after(&self, permit: &Permit, own: PermitId, now: Now) -> Option<BootInstant> {
        let since = *self.0.get(&permit.id)?;
        let end = since.plus(Duration::from_secs(permit.lasts_secs));
        (permit.id == own && now.boot < end).then_some(end)
    }
}

impl Permit {
    /// How long a permit lasts under a fence.
    pub fn lifetime(fence: Duration) -> Duration {
        PERMIT_MAX.min(fence / 2).max(Duration::from_secs(1))
    }

    /// A fresh permit from now on.
    pub fn new(id: PermitId, place: &Place, content: Content, fence: Duration, now: Now) -> Self {
        let lasts = Self::lifetime(fence);
        let Place { username, mechanism } = place.clone();
        Self { id, username, mechanism, content, lasts_secs: lasts.as_secs(), until: now.wall + lasts }
    }

    /// Whether its end is so long ago that a wall clock can be believed about it.
    fn is_long_past(&self, now: Now) -> bool {
        now.wall >= self.until + CLOCKS_AGREE_WITHIN
    }

    /// Whether a request under it may not have come to every broker yet, where nobody is very late.
    fn is_fresh(&self, now: Now) -> bool {
        now.wall < self.until + KNOWN_AFTER
    }

    /// The slot it is about.
    pub fn place(&self) -> Place {
        Place { username: self.username.clone(), mechanism: self.mechanism }
    }

    /// Whether it is about this slot.
    pub fn is_about(&self, place: &Place) -> bool {
        self.mechanism == place.mechanism && self.username == place.username
    }
}

/// Whether a credential may have come to its place under `permit` a moment ago. What was published after that had logged in on
/// every broker first.
fn may_have_filled(record: &Record, permit: &Permit, now: Now) -> bool {
    let issued = permit.until - Duration::from_secs(permit.lasts_secs);
    let mut published = record.active.iter().chain(record.previous.as_deref());
    let is_published = published.any(|slot| permit.content == Content::Generation(slot.generation));
    permit.is_fresh(now) && !(is_published && record.published_at.is_some_and(|published| issued <= published))
}

/// How long `content` has to wait for permits of other content on the same slot; zero when it need not.
pub fn fence_remaining(
    permits: &[Permit],
    place: &Place,
    content: Content,
    watch: &Watch,
    fence: Duration,
    now: Now,
) -> Duration {
    permits
        .iter()
        .filter(|permit| permit.is_about(place) && permit.content != content)
        .map(|permit| watch.remaining(permit, fence, now))
        .max()
        .unwrap_or(Duration::ZERO)
}

/// The permits that still matter: those whose fence has not passed. Called with every record write.
pub fn keep_live(permits: &[Permit], watch: &Watch, fence: Duration, now: Now) -> Vec<Permit> {
    permits.iter().filter(|permit| !watch.remaining(permit, fence, now).is_zero()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCE: Duration = Duration::from_secs(60);

    fn place(mechanism: Mechanism) -> Place {
        Place { username: UserName::parse("payments").unwrap(), mechanism }
    }
    const SHA_512: Mechanism = Mechanism::ScramSha512;

    fn at(seconds: u64) -> Now {
        Now {
            wall: Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds),
            boot: BootInstant(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn the_same_content_never_waits_and_other_content_waits_permit_and_fence() {
        let mut watch = Watch::default();
        let first = Content::Generation(Generation(1));
        let permit = Permit::new(PermitId(7), &place(SHA_512), first, FENCE, at(0));
        watch.issue(&permit, at(0).boot);
        let permits = [permit];
        let wait = |content, second| fence_remaining(&permits, &place(SHA_512), content, &watch, FENCE, at(second));
        assert_eq!(wait(first, 1), Duration::ZERO);
        assert_eq!(wait(Content::None, 10), Duration::from_secs(80));
        assert_eq!(wait(Content::None, 90), Duration::ZERO);
        assert_eq!(
            fence_remaining(&permits, &place(Mechanism::ScramSha256), Content::None, &watch, FENCE, at(1)),
            Duration::ZERO
        );
    }

    #[test]
    fn a_process_that_has_not_watched_believes_only_a_wall_clock_an_hour_later() {
        let permit = Permit::new(PermitId(7), &place(SHA_512), Content::None, FENCE, at(0));
        let unseen = Watch::default();
        let other = Content::Generation(Generation(2));
        let wait =
            |second| fence_remaining(std::slice::from_ref(&permit), &place(SHA_512), other, &unseen, FENCE, at(second));
        assert_eq!(wait(3600), Duration::from_secs(90));
        assert_eq!(wait(3630), Duration::ZERO);
    }

    fn record(permits: Vec<Permit>) -> Record {
        let user = "payments/payments".parse().unwrap();
        let blank = Record::blank(
            user,
            crate::names::Scope::default(),
            UserName::parse("payments").unwrap(),
            crate::credential::Authentication::Scram,
        );
        Record { permits, ..blank }
    }

    #[test]
    fn a_wall_clock_that_is_set_ahead_ends_no_fence_that_is_being_watched() {
        let permit = Permit::new(PermitId(7), &place(SHA_512), Content::Generation(Generation(1)), FENCE, at(0));
        let record = record(vec![permit]);
        let mut watch = Watch::default();
        watch.see(&record, at(0));
        let set_ahead = |second| Now { wall: at(second + 7200).wall, ..at(second) };
        let wait = |now| fence_remaining(&record.permits, &place(SHA_512), Content::None, &watch, FENCE, now);
        assert_eq!(wait(set_ahead(10)), Duration::from_secs(80));
        assert_eq!(wait(set_ahead(90)), Duration::ZERO);
        // What was over long before this process began need not be watched.
        let mut late = Watch::default();
        late.see(&record, at(3630));
        assert_eq!(
            fence_remaining(&record.permits, &place(SHA_512), Content::None, &late, FENCE, at(3630)),
            Duration::ZERO
        );
    }

    #[test]
    fn what_another_process_may_be_emptying_is_known_from_its_permits() {
        let own = Permit::new(PermitId(1), &place(SHA_512), Content::None, FENCE, at(0));
        let other = Permit::new(PermitId(2), &place(Mechanism::ScramSha256), Content::None, FENCE, at(0));
        let own_permits = BTreeMap::from([(own.place(), own.id)]);
        let mut watch = Watch::default();
        [&own, &other].into_iter().for_each(|permit| watch.issue(permit, at(0).boot));
        let mut record = record(vec![own, other.clone()]);
        let emptied = |record: &Record, second| watch.known_places(record, &own_permits, FENCE, at(second)).emptied;
        assert_eq!(emptied(&record, 34), BTreeSet::from([other.place()]), "a broker may lag");
        assert_eq!(emptied(&record, 35), BTreeSet::new(), "in IDLE nobody empties anything");
        record.phase = Phase::Retiring;
        assert_eq!(emptied(&record, 89), BTreeSet::from([other.place()]));
        assert_eq!(emptied(&record, 90), BTreeSet::new());
    }

    #[test]
    fn a_place_is_settled_once_its_credential_was_published_and_until_it_may_have_been_written_again() {
        let fill = |second| {
            Permit::new(PermitId(second), &place(SHA_512), Content::Generation(Generation(1)), FENCE, at(second))
        };
        let slot = Slot {
            username: UserName::parse("payments").unwrap(),
            generation: Generation(1),
            rotation_id: crate::names::RotationId::parse("r1").unwrap(),
            mechanism: SHA_512,
            salt: crate::secret::Salt::observed([1; 16]),
            iterations: 4096,
        };
        let settled = |record: &Record, second| {
            !Watch::default().known_places(record, &BTreeMap::new(), FENCE, at(second)).settled.is_empty()
        };
        let pending = Record { pending: Some(Box::new(slot.clone())), ..record(vec![fill(0)]) };
        assert!(!settled(&pending, 1), "nobody has proven it");
        let published = Record { active: Some(slot), published_at: Some(at(2).wall), ..record(vec![fill(0)]) };
        assert!(settled(&published, 3));
        let again = Record { permits: vec![fill(4)], ..published };
        assert!(!settled(&again, 5), "it is being written again");
        assert!(settled(&again, 39), "that was long ago");
    }

    #[test]
    fn permits_leave_the_list_when_their_fence_has_passed() {
        let mut watch = Watch::default();
        let permit = Permit::new(PermitId(1), &place(SHA_512), Content::None, FENCE, at(0));
        watch.issue(&permit, at(0).boot);
        assert_eq!(keep_live(std::slice::from_ref(&permit), &watch, FENCE, at(89)).len(), 1);
        assert_eq!(keep_live(&[permit], &watch, FENCE, at(90)).len(), 0);
    }
}
