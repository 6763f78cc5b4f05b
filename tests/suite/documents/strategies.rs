//! The table of the README: what listeners offer and clients read, and which strategies that leaves. Every row of it is
//! driven through the reader of documents, so that code and table cannot differ.

use super::rotation::{platform, user};
use super::{shown, text};
use kastellan::spec::{self, FileFormat, Strategy};

/// What a row says of one strategy.
#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Works,
    NeedsAuthorization,
    NeedsDowntime,
    Refused,
}

/// One row: two cells of words, how documents say them, and a cell for each strategy in the order of [`Strategy::ALL`].
struct Row {
    listeners: &'static str,
    /// `spec.clients.mechanisms` of each cluster.
    mechanisms: &'static [&'static str],
    authentication: &'static str,
    clients: &'static str,
    /// Fields of `rotation` that say so; each of them alone must lead to the cells.
    said: &'static [&'static str],
    cells: [Cell; 3],
}

const BOTH: &str = "[scram-sha-512, scram-sha-256]";
const ONE: &str = "[scram-sha-512]";
const TWO_USERS_OR_IN_PLACE: [Cell; 3] = [Cell::Refused, Cell::NeedsAuthorization, Cell::NeedsDowntime];

const ROWS: [Row; 5] = [
    Row {
        listeners: "both mechanisms",
        mechanisms: &[BOTH],
        authentication: "scram",
        clients: "mechanism, user name and password",
        said: &["", ", clientsReadMechanism: true"],
        cells: [Cell::Works, Cell::NeedsAuthorization, Cell::NeedsDowntime],
    },
    Row {
        listeners: "both mechanisms",
        mechanisms: &[BOTH],
        authentication: "scram",
        clients: "user name and password; they pin the mechanism (`clientsReadMechanism: false`)",
        said: &[", clientsReadMechanism: false"],
        cells: TWO_USERS_OR_IN_PLACE,
    },
    Row {
        listeners: "both mechanisms, and the document fixes one (`type: scram-sha-512`)",
        mechanisms: &[BOTH],
        authentication: "scram-sha-512",
        clients: "user name and password",
        said: &["", ", clientsReadMechanism: true", ", clientsReadMechanism: false"],
        cells: TWO_USERS_OR_IN_PLACE,
    },
    Row {
        listeners: "one mechanism",
        mechanisms: &[ONE],
        authentication: "scram",
        clients: "user name and password",
        said: &["", ", clientsReadMechanism: true", ", clientsReadMechanism: false"],
        cells: TWO_USERS_OR_IN_PLACE,
    },
    Row {
        listeners: "both mechanisms on one cluster, one of them on another",
        mechanisms: &[BOTH, ONE],
        authentication: "scram",
        clients: "user name and password",
        said: &["", ", clientsReadMechanism: true", ", clientsReadMechanism: false"],
        cells: TWO_USERS_OR_IN_PLACE,
    },
];

impl Cell {
    fn words(self) -> &'static str {
        match self {
            Self::Works => "yes",
            Self::NeedsAuthorization => "with `authorization` in the document",
            Self::NeedsDowntime => "with `allowDowntime: true`",
            Self::Refused => "refused",
        }
    }

    /// What the reader must say to a document with, or without, its own ACLs and a word that downtime is accepted.
    fn code(self, manages_acls: bool, allows_downtime: bool) -> Option<&'static str> {
        match self {
            Self::Works => None,
            Self::NeedsAuthorization => (!manages_acls).then_some("strategy-needs-more"),
            Self::NeedsDowntime => (!allows_downtime).then_some("strategy-needs-more"),
            Self::Refused => Some("impossible-strategy"),
        }
    }
}

/// How the table begins.
const HEAD: &str = "| Listeners offer |";

/// The table as the README has it.
fn table() -> String {
    let mut table = format!("{HEAD} Clients take from their delivery |");
    table.extend(Strategy::ALL.map(|strategy| format!(" `{strategy}` |")));
    table += "\n|---|---|---|---|---|\n";
    for row in ROWS {
        table += &format!("| {} | {} |", row.listeners, row.clients);
        table.extend(row.cells.map(|cell| format!(" {} |", cell.words())));
        table.push('\n');
    }
    table
}

/// What the reader says to one user: the code and hint of its one finding, if there is one.
fn answer(row: &Row, said: &str, strategy: &str, manages_acls: bool, downtime: bool, format: &str) -> Answer {
    let mut documents = platform(&[""; 3][..row.mechanisms.len()]);
    for mechanisms in row.mechanisms {
        documents = documents.replacen(
            &format!("clients: {{mechanisms: {BOTH}}}"),
            &format!("clients: {{mechanisms:  {mechanisms}}}"),
            1,
        );
    }
    let clusters = ["a", "b", "c"][..row.mechanisms.len()].join(", ");
    let acls = if manages_acls { ", authorization: {acls: []}" } else { "" };
    let downtime = if downtime { ", allowDowntime: true" } else { "" };
    let deliver = match format {
        "" => String::new(),
        format => format!(", deliver: [{{file: {{path: out, format: {format}, cluster: a}}}}]"),
    };
    let spec = format!(
        "clusters: [{clusters}], authentication: {{type: {}}}{acls}, rotation: {{every: 30d{strategy}{said}{downtime}}}{deliver}",
        row.authentication
    );
    match spec::read(&[text("table.yaml", documents + &user(&spec))]) {
        Ok((_, findings)) => {
            assert!(findings.0.is_empty(), "{}", shown(&findings));
            None
        }
        Err(findings) => {
            assert_eq!(findings.0.len(), 1, "{}", shown(&findings));
            let finding = &findings.0[0];
            Some((finding.code, finding.hint.as_ref().map(ToString::to_string).unwrap_or_default()))
        }
    }
}

type Answer = Option<(&'static str, String)>;

#[test]
fn every_row_is_what_the_reader_of_documents_does() {
    let formats = FileFormat::ALL.iter().map(|format| format.as_str()).chain([""]).collect::<Vec<_>>();
    let mut count = 0;
    for row in &ROWS {
        for (strategy, cell) in Strategy::ALL.into_iter().zip(row.cells) {
            let stated = format!(", strategy: {strategy}");
            for (manages, downtime) in [(false, false), (false, true), (true, false), (true, true)] {
                for (said, format) in row.said.iter().flat_map(|said| formats.iter().map(move |format| (said, format)))
                {
                    let answer = answer(row, said, &stated, manages, downtime, format);
                    let code = answer.as_ref().map(|(code, _)| *code);
                    let place = format!("{} / {said} / {stated} / {manages} / {downtime} / {format}", row.listeners);
                    assert_eq!(code, cell.code(manages, downtime), "{place}");
                    if let Some((_, hint)) = answer {
                        let named = |other: &Strategy| hint.contains(&format!("`{other}` ("));
                        let possible = |(other, cell): &(Strategy, Cell)| *other != strategy && *cell != Cell::Refused;
                        let expected =
                            Strategy::ALL.into_iter().zip(row.cells).filter(possible).map(|(other, _)| other);
                        let seen = Strategy::ALL.into_iter().filter(named);
                        assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{place}: {hint}");
                    }
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 3 * 4 * 3 * ROWS.iter().map(|row| row.said.len()).sum::<usize>());
}

#[test]
fn without_a_strategy_the_possible_ones_are_named() {
    for row in &ROWS {
        for said in row.said {
            let (code, hint) = answer(row, said, "", true, true, "").unwrap();
            assert_eq!(code, "no-strategy");
            for (strategy, cell) in Strategy::ALL.into_iter().zip(row.cells) {
                let is_possible = hint.contains(&format!("`{strategy}` ("));
                assert_eq!(is_possible, cell != Cell::Refused, "{}: {hint}", row.listeners);
                assert_eq!(hint.contains(&format!("not `{strategy}`: ")), !is_possible, "{}: {hint}", row.listeners);
            }
        }
    }
}

/// The README shows this table, word for word.
#[test]
fn the_readme_has_the_table() {
    let table = table();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains(&table), "the table in README.md must read\n\n{table}");
}
