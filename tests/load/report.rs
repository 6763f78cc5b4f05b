//! What a run found, as a table and as a verdict.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::applications::{Application, Habit, Kind};
use super::disturbances::Disturbances;
use super::journal::{Event, around};
use super::tally::Counts;

/// Words of clients that a report repeats, at most.
const WORDS_MAX: usize = 8;

/// What a run found.
#[derive(Debug)]
pub struct Report {
    rows: Vec<Row>,
    /// Logins that the brokers refused, by their own count.
    pub refused_by_brokers: usize,
    /// What happened around each of them.
    history: Vec<Event>,
    /// How often the rotating process was killed.
    pub kills: u64,
    /// How often a broker was restarted.
    pub restarts: u64,
    /// The seed of everything that was left to chance.
    pub seed: u64,
    /// How long an old credential is good for at least, once it is replaced.
    overlap: Duration,
    /// What clients said of their first refusals, and of their ends.
    words: Vec<String>,
}

/// The applications of one kind and habit together.
#[derive(Debug)]
struct Row {
    kind: Kind,
    habit: Habit,
    applications: usize,
    counts: Counts,
}

impl Report {
    /// Adds up the tallies. `refusals` are what brokers logged of each.
    pub fn of(
        applications: &[Arc<Application>],
        refusals: &[(i32, String)],
        disturbances: &Disturbances,
        overlap: Duration,
        seed: u64,
    ) -> Self {
        let mut rows = Vec::new();
        for kind in Kind::ALL {
            for habit in Habit::ALL {
                let same = |one: &&Arc<Application>| (one.kind, one.habit) == (kind, habit);
                let counts: Vec<Counts> = applications.iter().filter(same).map(|one| one.tally.counts()).collect();
                if !counts.is_empty() {
                    rows.push(Row { kind, habit, applications: counts.len(), counts: sum(&counts) });
                }
            }
        }
        let said = |one: &Arc<Application>| {
            let counts = one.tally.counts();
            Some(format!("{}: {}", one.name, counts.death.or(counts.first_words)?))
        };
        let words = applications.iter().filter_map(said).take(WORDS_MAX).collect();
        let (kills, restarts) = (disturbances.kills(), disturbances.restarts());
        let history = history(applications, refusals, disturbances);
        Self { rows, refused_by_brokers: refusals.len(), history, kills, restarts, seed, overlap, words }
    }

    /// Rotations of all users.
    pub fn rotations(&self) -> u64 {
        self.total().rotations
    }

    /// Logins that were refused, by the count of one kind of client.
    pub fn refused_by(&self, kind: Kind) -> u64 {
        self.rows.iter().filter(|row| row.kind == kind).map(|row| row.counts.refusals).sum()
    }

    /// What is wrong: refused logins by either count, denied requests, lost records, and applications that did nothing, or
    /// did not move within the overlap, which prove nothing. Empty when nobody was harmed.
    pub fn faults(&self) -> Vec<String> {
        let total = self.total();
        let mut faults = Vec::new();
        if total.refusals > 0 {
            faults.push(format!("clients count {} refused logins", total.refusals));
        }
        if self.refused_by_brokers > 0 {
            faults.push(format!("brokers count {} refused logins", self.refused_by_brokers));
        }
        if total.denials > 0 {
            faults.push(format!("clients count {} requests that were denied", total.denials));
        }
        if let Some(why) = &total.death {
            faults.push(format!("a client gave up: {why}"));
        }
        if total.lost > 0 {
            faults.push(format!("{} records were acknowledged and never read", total.lost));
        }
        for Row { kind, habit, counts, .. } in &self.rows {
            let who = format!("applications on {} with the habit `{}`", kind.as_str(), habit.as_str());
            if counts.slowest_move >= self.overlap {
                let (slowest, overlap) = (counts.slowest_move, self.overlap);
                faults.push(format!("{who} took {slowest:?} to move, and the overlap is {overlap:?}"));
            }
            if counts.logins == 0 {
                faults.push(format!("{who} never logged in"));
            }
            if kind.has_records() && counts.read == 0 {
                faults.push(format!("{who} never read a record"));
            }
        }
        faults
    }

    fn total(&self) -> Counts {
        sum(&self.rows.iter().map(|row| row.counts.clone()).collect::<Vec<_>>())
    }

    fn table(&self) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
        table.set_header([
            "client",
            "habit",
            "users",
            "rotations",
            "logins",
            "refused",
            "denied",
            "acknowledged",
            "read",
            "lost",
            "slowest move",
        ]);
        for Row { kind, habit, applications, counts } in &self.rows {
            table.add_row(cells(kind.as_str(), habit.as_str(), *applications, counts, kind.has_records()));
        }
        let users = self.rows.iter().map(|row| row.applications).sum();
        table.add_row(cells("all", "", users, &self.total(), true));
        table
    }
}

/// What happened around each refusal: to whom a client says it happened, and to everybody together.
fn history(applications: &[Arc<Application>], refusals: &[(i32, String)], disturbances: &Disturbances) -> Vec<Event> {
    let by_brokers =
        refusals.iter().map(|(broker, line)| Event { at: time_of(line), what: format!("broker {broker}: {line}") });
    let by_brokers = by_brokers.collect::<Vec<_>>();
    let moments = by_brokers.iter().map(|event| event.at).collect::<Vec<_>>();
    let of = |application: &Arc<Application>| {
        let named = |event: Event| Event { what: format!("{} {}", application.name, event.what), ..event };
        application.tally.journal.events().into_iter().map(named).collect::<Vec<_>>()
    };
    let is_hurt = |one: &&Arc<Application>| one.tally.counts().refusals > 0;
    let hurt = applications.iter().filter(is_hurt).flat_map(of);
    let events = disturbances.journal.events().into_iter().chain(by_brokers).chain(hurt).collect();
    around(events, &moments)
}

/// The local time with which a broker begins a line.
fn time_of(line: &str) -> Timestamp {
    let (date, rest) = line.split_once(' ').expect("a date, and a time");
    let time = rest.split(' ').next().unwrap_or_default().replace(',', ".");
    let local = format!("{date}T{time}").parse::<DateTime>().expect("a date, and a time");
    local.to_zoned(TimeZone::system()).expect("a time that there is").timestamp()
}

fn cells(client: &str, habit: &str, applications: usize, counts: &Counts, has_records: bool) -> Vec<String> {
    let records = |count: u64| if has_records { count.to_string() } else { "–".to_owned() };
    let slowest = match counts.slowest_move {
        Duration::ZERO => "–".to_owned(),
        delay => format!("{:.1} s", delay.as_secs_f32()),
    };
    vec![
        client.to_owned(),
        habit.to_owned(),
        applications.to_string(),
        counts.rotations.to_string(),
        counts.logins.to_string(),
        counts.refusals.to_string(),
        records(counts.denials),
        records(counts.acknowledged),
        records(counts.read),
        records(counts.lost),
        slowest,
    ]
}

fn sum(counts: &[Counts]) -> Counts {
    counts.iter().fold(Counts::default(), |mut total, one| {
        total.rotations += one.rotations;
        total.loads += one.loads;
        total.slowest_move = total.slowest_move.max(one.slowest_move);
        total.logins += one.logins;
        total.refusals += one.refusals;
        total.denials += one.denials;
        total.death = total.death.or_else(|| one.death.clone());
        total.acknowledged += one.acknowledged;
        total.read += one.read;
        total.lost += one.lost;
        total
    })
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { refused_by_brokers, kills, restarts, seed, .. } = self;
        let mut text = String::new();
        writeln!(text, "{}", self.table())?;
        writeln!(text, "refused logins, counted by the brokers: {refused_by_brokers}")?;
        writeln!(text, "rotating process killed: {kills}; brokers restarted: {restarts}; seed: {seed}")?;
        for words in &self.words {
            writeln!(text, "said by {words}")?;
        }
        for event in &self.history {
            writeln!(text, "{event}")?;
        }
        for fault in self.faults() {
            writeln!(text, "NOT HELD: {fault}")?;
        }
        f.write_str(text.trim_end())
    }
}
