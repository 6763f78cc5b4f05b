//! Reads `rotation` as one mapping states it, and says what can be said about that mapping alone.

use std::time::Duration;

use super::super::fields::Fields;
use super::super::reader::Reader;
use super::super::source::Place;
use super::super::user::refuse_beyond_ascii;
use super::super::value::{format_duration, parse_duration};
use super::{Confirm, Part, StatedRotation, Strategy};
use crate::diagnostic::Finding;
use crate::names::UserName;

/// Nothing can be written, proven on every broker and published faster; only tests have a reason to come near.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// Below this most clients are busier with new credentials than with their work, and brokers with logins.
const EVERY_SENSIBLE: Duration = Duration::from_secs(60 * 60);

/// Below this a client that watches its file may still not have read it when the old credential goes.
const OVERLAP_SENSIBLE: Duration = Duration::from_secs(5 * 60);

/// Longest duration: ten years are as good as never, and instants that far from now can still be reckoned with.
const DURATION_MAX: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// `rotation` of a user's document, with its places.
pub(in super::super) struct RotationDraft {
    pub stated: StatedRotation,
    /// The two names of `users`, if they are stated and nothing is wrong with them.
    pub users: Option<[UserName; 2]>,
    key: Place,
    every: Place,
    strategy: Place,
    overlap: Place,
    confirm: Place,
    users_key: Option<Place>,
    names: [Place; 2],
}

impl RotationDraft {
    /// Where a part stands; `rotation` itself for one that is not stated.
    pub fn place(&self, part: Part) -> Place {
        match part {
            Part::Whole => self.key,
            Part::Every => self.every,
            Part::Strategy => self.strategy,
            Part::Overlap => self.overlap,
            Part::Confirm => self.confirm,
            Part::Users => self.users_key.unwrap_or(self.key),
        }
    }

    /// Whether `users` is there, whatever it holds.
    pub fn states_users(&self) -> bool {
        self.users_key.is_some()
    }

    /// Places of the two names of `users`.
    pub fn names(&self) -> [Place; 2] {
        self.names
    }
}

/// Reads `rotation` of a user.
pub(in super::super) fn read(reader: &mut Reader<'_, '_>, spec: Fields<'_, '_>) -> Option<Box<RotationDraft>> {
    let (fields, key) = (spec.fields("rotation")?, spec.key_place("rotation")?);
    let place = |name: &str| fields.place(name).unwrap_or(key);
    let stated = read_stated(reader, fields, "spec.rotation");
    let (users, names) = read_users(reader, fields, key);
    Some(Box::new(RotationDraft {
        stated,
        users,
        key,
        every: place("every"),
        strategy: place("strategy"),
        overlap: place("overlap"),
        confirm: place("confirm"),
        users_key: fields.key_place("users"),
        names,
    }))
}

/// Reads `rotation` of `defaults`.
pub(in super::super) fn read_defaults(reader: &mut Reader<'_, '_>, defaults: Fields<'_, '_>) -> StatedRotation {
    let Some(fields) = defaults.fields("rotation") else { return StatedRotation::default() };
    reader.refuse(fields, &["users"], "as a default: two users cannot share their names");
    read_stated(reader, fields, "spec.defaults.rotation")
}

fn read_stated(reader: &mut Reader<'_, '_>, fields: Fields<'_, '_>, here: &str) -> StatedRotation {
    let duration = |name: &str| fields.text(name).and_then(|text| parse_duration(text).ok());
    let stated = StatedRotation {
        every: duration("every"),
        strategy: Strategy::ALL.into_iter().find(|strategy| fields.text("strategy") == Some(strategy.as_str())),
        overlap: duration("overlap"),
        confirm: match fields.text("confirm") {
            Some("none") => Some(Confirm::None),
            Some("rollout") => Some(Confirm::Rollout),
            Some("acknowledgement") => Some(Confirm::Acknowledgement),
            Some(_) | None => None,
        },
        allow_downtime: fields.switch("allowDowntime"),
        clients_read_mechanism: fields.switch("clientsReadMechanism"),
    };
    report_every(reader, fields, &stated, here);
    report_overlap(reader, fields, &stated, here);
    for name in ["every", "overlap"] {
        if duration(name).is_some_and(|duration| duration > DURATION_MAX) {
            let message = format!("`{here}.{name}` must be at most {}", format_duration(DURATION_MAX));
            reader.find(fields.place(name).unwrap_or_default(), Finding::error("wrong-value", message));
        }
    }
    stated
}

fn report_every(reader: &mut Reader<'_, '_>, fields: Fields<'_, '_>, stated: &StatedRotation, here: &str) {
    let (Some(every), Some(place)) = (stated.every, fields.place("every")) else { return };
    if every < EVERY_MIN {
        let message = format!("`{here}.every` must be at least {}", format_duration(EVERY_MIN));
        reader.find(place, Finding::error("wrong-value", message).hint("leave it out to rotate only on request"));
    } else if every < EVERY_SENSIBLE {
        let message = format!("`{here}.every` is shorter than {}", format_duration(EVERY_SENSIBLE));
        let hint = "clients and brokers would do little but log in; take days unless this is a test";
        reader.find(place, Finding::warning("short-every", message).hint(hint));
    }
}

/// An overlap longer than `every` beside it, and one that hardly is one.
fn report_overlap(reader: &mut Reader<'_, '_>, fields: Fields<'_, '_>, stated: &StatedRotation, here: &str) {
    let (Some(overlap), Some(place)) = (stated.overlap, fields.place("overlap")) else { return };
    if stated.overlaps_itself() {
        reader.find(place, overlaps_itself(stated));
    } else if overlap < OVERLAP_SENSIBLE && matches!(stated.confirm, None | Some(Confirm::None)) {
        let message = format!("`{here}.overlap` is shorter than {}", format_duration(OVERLAP_SENSIBLE));
        let hint = "a client that has not read its new credential by then is locked out, unless `confirm: \
                    acknowledgement` waits for it; take hours unless this is a test";
        reader.find(place, Finding::warning("short-overlap", message).hint(hint));
    }
}

/// What is said about an overlap that is longer than the time between two rotations.
pub(super) fn overlaps_itself(stated: &StatedRotation) -> Finding {
    let text = |duration: Option<Duration>| format_duration(duration.unwrap_or_default());
    let message = format!(
        "`overlap: {}` is longer than `every: {}`: the old credential would still be kept when the next rotation is due",
        text(stated.overlap),
        text(stated.every)
    );
    Finding::error("overlap-too-long", message).hint("choose a shorter `overlap` or a longer `every`")
}

/// The two names of `users` with their places.
fn read_users(reader: &mut Reader<'_, '_>, fields: Fields<'_, '_>, key: Place) -> (Option<[UserName; 2]>, [Place; 2]) {
    let Some(users) = fields.key_place("users") else { return (None, [key; 2]) };
    let items = fields.items("users");
    let [first, second] = items else {
        let message = format!("`spec.rotation.users` needs exactly two user names, not {}", items.len());
        reader.find(users, Finding::error("wrong-value", message).hint("one is in use while the other one changes"));
        return (None, [users; 2]);
    };
    let places = [first.place, second.place];
    let errors = reader.report.errors();
    let names = [first, second].map(|node| UserName::interned(node.text()?, reader.interner).ok());
    let [Some(one), Some(other)] = names else { return (None, places) };
    for (name, place) in [&one, &other].into_iter().zip(places) {
        if name.as_str() == "*" {
            let finding = Finding::error("wrong-value", "`*` is every user and cannot log in");
            reader.find(place, finding.hint("choose a user name"));
        }
        refuse_beyond_ascii(reader, place, name);
    }
    if one == other {
        let finding = Finding::error("duplicate-item", format!("`{one}` is listed twice"));
        reader.find(places[1], finding.hint("`dual-user` needs two users: one is in use while the other one changes"));
    }
    let is_fine = reader.report.errors() == errors;
    (is_fine.then_some([one, other]), places)
}
