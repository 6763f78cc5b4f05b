//! The table, the JSON, and whether every bound is held.

use std::io::Write as _;

/// Writes a line of the bench's own.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Everything measured in one run.
#[derive(Default, serde::Serialize)]
pub struct Report {
    rows: Vec<Row>,
}

#[derive(serde::Serialize)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    bound: Option<f64>,
    held: Option<bool>,
}

impl Report {
    /// A number for information.
    pub fn note(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.rows.push(Row { what: what.into(), value, unit, bound: None, held: None });
    }

    /// A number that may be at most `bound`.
    pub fn bound(&mut self, what: impl Into<String>, value: f64, unit: &'static str, bound: f64) {
        self.rows.push(Row { what: what.into(), value, unit, bound: Some(bound), held: Some(value <= bound) });
    }

    /// Prints everything; answers whether every bound is held.
    pub fn finish(&self) -> super::Outcome<bool> {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
        table.set_header(["measured", "value", "bound", ""]);
        for row in &self.rows {
            let bound = row.bound.map(|bound| format!("≤ {} {}", number(bound), row.unit)).unwrap_or_default();
            let held = row.held.map_or("", |held| if held { "held" } else { "NOT HELD" });
            table.add_row([row.what.clone(), format!("{} {}", number(row.value), row.unit), bound, held.to_owned()]);
        }
        say(&format!("\n{table}"));
        std::fs::create_dir_all("target")?;
        std::fs::write("target/limits.json", serde_json::to_string_pretty(self)? + "\n")?;
        Ok(self.rows.iter().all(|row| row.held != Some(false)))
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.3}") }
}
