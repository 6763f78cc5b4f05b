//! The state of the model: a store, clusters with their brokers, a delivery, consumers, processes, and late requests.
//!
//! Time is relative: every instant in a state is counted from now, and what is so long ago that nobody can tell is cut off.
//! So states that differ only in when they happen are one state, and nothing bounds how long a story takes.

use std::time::Duration;

use jiff::Timestamp;
use kastellan::credential::{Cut, Facts, Permit, PermitId, Progress, Record, Revocation, Transition, Version};
use kastellan::names::{BootInstant, Now};

use crate::kept::Kept;
use crate::scenario::{Budget, PERMIT_LASTS, PERMIT_TICKS, PLACES, Scenario};

/// A credential by its salt: its generation and which making of that number it is. 0 is no credential; from
/// [`STRANGERS`] on it is somebody else's.
pub type Salt = u8;

/// Makings of one number that a salt can tell apart.
const MAKINGS: u8 = 4;

/// The first salt that is not ours.
pub const STRANGERS: Salt = 100;

pub fn salt_of(generation: u64, making: u8) -> Salt {
    let generation = u8::try_from(generation).expect("few generations");
    let salt = generation * MAKINGS + making;
    assert!(salt < STRANGERS && making < MAKINGS, "a scenario is bounded");
    salt
}

pub fn generation_of(salt: Salt) -> u64 {
    u64::from(salt / MAKINGS)
}

/// The wall clock now, always the same.
pub fn wall() -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// Both clocks now, always the same.
pub fn now() -> Now {
    Now { wall: wall(), boot: BootInstant(Duration::from_secs(1_000_000)) }
}

/// What cannot be found out any more by looking at the world, and must never have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crime {
    /// A password left the process before the store had acknowledged its material and its record (I1).
    EffectBeforeRecord,
    /// A credential in use was overwritten or deleted (I3).
    Overwrite,
    /// RETIRING was entered before the overlap, the confirmation or the login (I4).
    EarlyRevocation,
    /// A number was used for two contents (I7).
    NumberReused,
    /// A published generation went back (I7).
    WentBack,
    /// A request took effect after a later one for other content had been sent (I10).
    Straggler,
    /// A stranger's credential was overwritten or deleted, without anybody's leave (R6).
    StrangerHarmed,
    /// A revoked credential was asserted again (R5).
    RevokedAgain,
    /// A thief's connection came back to life (K5).
    ThiefIsBack,
    /// The record took a step that its table of phases does not know, or its highest number went back.
    UnknownStep,
}

/// One cluster: what its controllers hold, and what its last broker has applied of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Cluster {
    pub slots: [Salt; PLACES],
    /// Changes that the lagging broker has not applied yet, oldest first.
    pub behind: Vec<(u8, Salt)>,
    /// What the lagging broker holds; the same as `slots` where none lags.
    pub lagging: [Salt; PLACES],
    /// Names with access, one bit each.
    pub access: u8,
    /// Rebuilt so often: part of its id.
    pub incarnation: u8,
    /// Whether Kastellan cannot reach it.
    pub is_down: bool,
}

/// Material of one number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Material {
    pub salt: Salt,
    pub place: u8,
    /// The salt of the credential whose password it holds, its own unless a deletion was undone; or 200 and the version of
    /// a given password.
    pub password: u8,
}

/// The credential document, by its salt, or a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Document {
    Live { salt: Salt, place: u8 },
    Tombstone { generation: u64 },
}

impl Document {
    pub fn generation(self) -> u64 {
        match self {
            Self::Live { salt, .. } => generation_of(salt),
            Self::Tombstone { generation } => generation,
        }
    }

    pub fn version(self) -> Version {
        Version(match self {
            Self::Live { salt, .. } => format!("live-{salt}"),
            Self::Tombstone { generation } => format!("gone-{generation}"),
        })
    }
}

/// Everything durable of Kastellan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Store {
    pub record: Option<Kept<Record>>,
    /// The version before, for whoever reads a replica that is late.
    pub before: Option<Kept<Record>>,
    /// By number; `None`: destroyed, and never written again.
    pub materials: Vec<(u64, Option<Material>)>,
    pub document: Option<Document>,
}

/// An altering request that may still take effect, any number of times, as long as it has ticks left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flight {
    pub cluster: u8,
    pub place: u8,
    pub salt: Salt,
    pub ticks_left: u8,
    /// Whether a request for other content was sent to the same place after it.
    pub is_superseded: bool,
}

/// An application: the credential it logs in with, and for how long there has been a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Consumer {
    pub held: Option<(u8, Salt)>,
    /// The clusters it was told of with it, one bit each.
    pub told: u8,
    pub behind_ticks: u8,
}

/// One pass of one process: what it read, what it was told to do, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pass {
    pub record: Option<Kept<Record>>,
    /// Whether the store still holds the version that was read or written last.
    pub is_current: bool,
    /// The variant of the document it works for.
    pub wanted: Option<u8>,
    pub facts: Kept<Facts>,
    pub transitions: Kept<Vec<Transition>>,
    pub index: u8,
    pub progress: Kept<Progress>,
    /// Ticks for which it has watched each permit of its record.
    pub watched: Vec<(u64, u8)>,
    /// With [`crate::scenario::Plant::RecordAfterEffect`]: its record is not written yet.
    pub is_deferred: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub store: Store,
    pub clusters: Vec<Cluster>,
    /// The delivered file: whose credential it holds.
    pub file: Option<(u8, Salt)>,
    pub consumers: Vec<Consumer>,
    pub passes: Vec<Option<Box<Pass>>>,
    pub flights: Vec<Flight>,
    pub budget: Budget,
    /// The variant of the document that applies; `None`: it is gone.
    pub wanted: Option<u8>,
    /// Version of the given password.
    pub given: u8,
    /// Slots (cluster, place) that somebody else changed and that were not put right since: nobody answers for them.
    pub hurt: Vec<(u8, u8)>,
    /// [`Crime`]s that were committed, one bit each.
    pub crimes: u16,
    /// Salts whose password left a process; to find numbers used twice.
    pub sent: Vec<Salt>,
    /// Salts that were published.
    pub published: Vec<Salt>,
    /// Salts that were revoked, by the clusters where they were taken away.
    pub revoked: Vec<(u8, Salt)>,
    /// A snapshot of the store.
    pub snapshot: Option<Box<Store>>,
    /// Salts that a restored store does not know.
    pub lost: Vec<Salt>,
    /// A copy of the store, with [`crate::scenario::Plant::TwoCopies`].
    pub copy: Option<Box<Store>>,
    /// Whoever stole a credential.
    pub thief: Thief,
}

impl State {
    pub fn commit(&mut self, crime: Crime) {
        self.crimes |= 1 << (crime as u16);
    }

    pub fn is_guilty(&self, crime: Crime) -> bool {
        self.crimes & (1 << (crime as u16)) != 0
    }

    pub fn record(&self) -> Option<&Record> {
        self.store.record.as_deref()
    }

    pub fn material(&self, generation: u64) -> Option<&Material> {
        self.store.materials.iter().find(|(number, _)| *number == generation)?.1.as_ref()
    }

    /// Somebody else changed a slot.
    pub fn hurt(&mut self, cluster: u8, place: u8) {
        if !self.hurt.contains(&(cluster, place)) {
            self.hurt.push((cluster, place));
            self.hurt.sort_unstable();
        }
    }

    /// A cluster is empty, and another one.
    pub fn rebuild(&mut self, cluster: u8) {
        let rebuilt = &mut self.clusters[usize::from(cluster)];
        let lost = (0..).zip(rebuilt.slots).filter(|(_, salt)| *salt != 0).map(|(place, _)| place);
        let lost = lost.collect::<Vec<_>>();
        *rebuilt = Cluster { incarnation: rebuilt.incarnation + 1, is_down: rebuilt.is_down, ..Cluster::default() };
        lost.into_iter().for_each(|place| self.hurt(cluster, place));
        self.flights.retain(|flight| flight.cluster != cluster);
    }

    /// The second process's store takes the place of the first's, and back.
    pub fn swap_copy(&mut self) {
        if let Some(copy) = &mut self.copy {
            std::mem::swap(&mut self.store, copy);
        }
    }

    /// Notes that a password leaves a process.
    pub fn note_sent(&mut self, salt: Salt) {
        if note(&mut self.sent, salt) {
            self.commit(Crime::NumberReused);
        }
    }

    /// Notes that a password is published.
    pub fn note_published(&mut self, salt: Salt) {
        if note(&mut self.published, salt) {
            self.commit(Crime::NumberReused);
        }
    }

    /// The record was written by somebody: whoever read an older one is late from now on.
    pub fn write(&mut self, record: Option<Kept<Record>>, keeps_history: bool) {
        if keeps_history {
            self.store.before = self.store.record.take();
        }
        self.store.record = record;
        if self.copy.is_some() {
            return;
        }
        for pass in self.passes.iter_mut().flatten() {
            pass.is_current = false;
        }
    }
}

/// Notes a salt; answers whether another one of the same number was noted before.
fn note(known: &mut Vec<Salt>, salt: Salt) -> bool {
    let is_reused = known.iter().any(|known| generation_of(*known) == generation_of(salt) && *known != salt);
    if !known.contains(&salt) {
        known.push(salt);
        known.sort_unstable();
    }
    is_reused
}

/// Whoever stole the credential that was in use when a revocation was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Thief {
    /// Whether a connection of before the cut is open.
    pub is_connected: bool,
    /// Whether the access of the name was cut since.
    pub is_cut: bool,
    /// Whether the brokers were restarted after the cut.
    pub is_shut_out: bool,
}

impl State {
    /// Permits are numbered in the order in which they are met: which number one has makes no difference to anybody.
    pub fn rename_permits(&mut self) {
        let mut names = Vec::new();
        let records = self.store.record.iter().chain(&self.store.before);
        let passes = self.passes.iter().flatten();
        for record in records.chain(passes.filter_map(|pass| pass.record.as_ref())) {
            for permit in &record.permits {
                if !names.contains(&permit.id) {
                    names.push(permit.id);
                }
            }
        }
        if (0..).zip(&names).all(|(number, id)| id.0 == number) {
            return;
        }
        let number = |id: PermitId| names.iter().position(|known| *known == id).map(|number| number as u64);
        let renamed = |record: &Kept<Record>| {
            let mut renamed = Record::clone(record);
            for permit in &mut renamed.permits {
                permit.id = PermitId(number(permit.id).expect("met above"));
            }
            Kept::new(renamed)
        };
        self.store.record = self.store.record.as_ref().map(renamed);
        self.store.before = self.store.before.as_ref().map(renamed);
        for pass in self.passes.iter_mut().flatten() {
            pass.record = pass.record.as_ref().map(renamed);
            pass.watched.iter_mut().for_each(|(id, _)| *id = number(PermitId(*id)).expect("met above"));
            pass.watched.sort_unstable();
            pass.advance(|progress| {
                progress.own_permits.values_mut().for_each(|id| id.0 = number(*id).expect("met above"));
            });
        }
    }
}

impl Cluster {
    /// A change takes effect at the controllers; a broker that lags learns of it later.
    pub fn alter(&mut self, place: u8, salt: Salt, lags: bool) {
        self.slots[usize::from(place)] = salt;
        if !lags {
            self.lagging = self.slots;
            return;
        }
        self.behind.push((place, salt));
        while self.behind.len() > 2 {
            self.catch_up();
        }
    }

    /// The lagging broker applies the oldest change.
    pub fn catch_up(&mut self) {
        if !self.behind.is_empty() {
            let (place, salt) = self.behind.remove(0);
            self.lagging[usize::from(place)] = salt;
        }
    }
}

/// One tick older: instants move away from now, and stay where nobody can tell the difference any more.
pub fn aged(record: &Kept<Record>, scenario: &Scenario) -> Kept<Record> {
    if record.overlap_from.is_none() {
        return record.clone();
    }
    let mut older = Record::clone(record);
    let overlap = scenario.overlap().unwrap_or(0);
    let tick = |at: Timestamp, ticks_max: u8| {
        let floor = wall() - Duration::from_secs(u64::from(ticks_max));
        (at - Duration::from_secs(1)).max(floor)
    };
    older.overlap_from = older.overlap_from.map(|at| tick(at, overlap));
    if older == **record { record.clone() } else { Kept::new(older) }
}

/// The record with every instant that no decision depends on set to one value, and without permits that another one
/// outlasts: whoever watches both has watched the older one at least as long, so for the same content of the same slot only
/// the newest matters. Without this, a process that dies and comes back in the same tick would make ever longer lists.
pub fn canonical(mut record: Record) -> Kept<Record> {
    let fixed = wall();
    let of = |permit: &Permit| (permit.username.clone(), permit.mechanism, permit.content);
    let newest = record.permits.iter().enumerate().map(|(index, permit)| (of(permit), index));
    let newest = newest.collect::<std::collections::HashMap<_, _>>();
    let mut index = 0;
    record.permits.retain(|permit| {
        index += 1;
        newest[&of(permit)] == index - 1
    });
    record.published_at = record.published_at.map(|_| fixed);
    record.confirmed_at = record.confirmed_at.map(|_| fixed);
    for permit in &mut record.permits {
        permit.until = fixed;
    }
    if let Some(revocation) = &mut record.revocation {
        revocation.at = fixed;
        rank(revocation);
    }
    if let Some(deletion) = &mut record.deletion {
        deletion.at = fixed;
        deletion.undo_until = fixed + Duration::from_secs(3600);
    }
    Kept::new(record)
}

/// Instants of a revocation keep their order, and all of them are before now: nothing else about them matters where no
/// listener asks for a new login by itself.
fn rank(revocation: &mut Revocation) {
    let mut instants = revocation.cuts.values().filter_map(|cut| cut.done_at).collect::<Vec<_>>();
    instants.extend(revocation.restarted_at);
    instants.sort();
    instants.dedup();
    let ranked = |at: Timestamp| {
        let later = instants.iter().filter(|other| **other > at).count() as u64;
        wall() - Duration::from_secs(1 + later)
    };
    let cuts = revocation.cuts.iter().map(|(cluster, cut)| {
        let cut = Cut { done_at: cut.done_at.map(ranked), ..cut.clone() };
        (cluster.clone(), cut)
    });
    revocation.cuts = cuts.collect();
    revocation.restarted_at = revocation.restarted_at.map(ranked);
}

impl Pass {
    pub fn age(&mut self, scenario: &Scenario) {
        self.record = self.record.as_ref().map(|record| aged(record, scenario));
        for (_, ticks) in &mut self.watched {
            *ticks = (*ticks + 1).min(PERMIT_TICKS);
        }
        self.watch_record();
    }

    /// Forgets permits that its record has not any more, and that those of its own are its own once they are over.
    pub fn watch_record(&mut self) {
        let permits = self.record.as_ref().map_or(&[][..], |record| &record.permits);
        self.watched.retain(|(id, _)| permits.iter().any(|permit| permit.id.0 == *id));
        for permit in permits {
            if self.watched.iter().all(|(id, _)| *id != permit.id.0) {
                self.watched.push((permit.id.0, 0));
            }
        }
        self.watched.sort_unstable();
        let watched = std::mem::take(&mut self.watched);
        self.advance(|progress| {
            let is_live =
                |id: &PermitId| watched.iter().any(|(watched, ticks)| *watched == id.0 && *ticks < PERMIT_LASTS);
            progress.own_permits.retain(|_, id| is_live(id));
        });
        self.watched = watched;
    }
}
