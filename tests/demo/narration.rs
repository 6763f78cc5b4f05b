//! How the demonstration is told: short headings, commands as one would type them, their real output, and ticks.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use crate::failure::Failure;

/// Columns of a paragraph: comfortable to read, and narrow enough for most terminals.
const WIDTH: usize = 92;

/// A way to write, where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Heading,
    Command,
    Faint,
    Good,
    Bad,
    Change,
}

impl Ink {
    /// Parameters of the terminal's "select graphic rendition" sequence (ECMA-48).
    const fn code(self) -> &'static str {
        match self {
            Self::Heading => "1;36",
            Self::Command => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Change => "33",
        }
    }
}

/// Writes to standard output, with colour where that is a terminal and `NO_COLOR` is not set.
pub struct Narrator {
    has_colour: bool,
    chapter: Cell<u32>,
    ticks: Cell<u32>,
    last_was_tick: Cell<bool>,
    begun: Instant,
}

impl Narrator {
    /// The narrator of this process.
    pub fn for_stdout() -> Self {
        let has_colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            has_colour,
            chapter: Cell::new(0),
            ticks: Cell::new(0),
            last_was_tick: Cell::new(false),
            begun: Instant::now(),
        }
    }

    /// The first lines.
    pub fn title(&self, title: &str, motto: &str) {
        self.line("");
        self.line(&self.inked(Ink::Heading, title));
        self.line(&self.inked(Ink::Heading, motto));
    }

    /// A new chapter.
    pub fn chapter(&self, title: &str) {
        self.chapter.set(self.chapter.get() + 1);
        let heading = format!("── {} · {title} ", self.chapter.get());
        let rule = "─".repeat(WIDTH.saturating_sub(heading.chars().count()));
        self.line("");
        self.line(&self.inked(Ink::Heading, &format!("{heading}{rule}")));
    }

    /// A paragraph.
    pub fn say(&self, text: &str) {
        self.line("");
        for line in wrapped(text, WIDTH) {
            self.line(&line);
        }
    }

    /// A command, before it runs.
    pub fn command(&self, command: &str) {
        self.line("");
        self.line(&format!("  {} {}", self.inked(Ink::Faint, "$"), self.inked(Ink::Command, command)));
    }

    /// What a command printed, or what a file holds.
    pub fn output(&self, text: &str) {
        for line in text.trim_end().lines() {
            let ink = match line.trim_start().as_bytes() {
                [b'+', b' ', ..] => Some(Ink::Good),
                [b'-', b' ', ..] if !line.contains("- {") && !line.contains("- name:") && !line.contains("- file:") => {
                    Some(Ink::Bad)
                }
                [b'~', b' ', ..] => Some(Ink::Change),
                [b'#', ..] => Some(Ink::Faint),
                _ => None,
            };
            let line = ink.map_or_else(|| line.to_owned(), |ink| self.inked(ink, line));
            self.line(format!("    {line}").trim_end());
        }
    }

    /// A sentence that must be true: printed with a tick.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, claim: &str, is_true: bool) -> Result<(), Failure> {
        if !is_true {
            return Err(Failure::NotTrue { claim: claim.to_owned() });
        }
        self.ticks.set(self.ticks.get() + 1);
        if !self.last_was_tick.get() {
            self.line("");
        }
        for (index, line) in wrapped(claim, WIDTH - 4).into_iter().enumerate() {
            let mark = if index == 0 { self.inked(Ink::Good, "✓") } else { " ".to_owned() };
            self.line(&format!("  {mark} {line}"));
        }
        self.last_was_tick.set(true);
        Ok(())
    }

    /// The last lines after a good end.
    pub fn end(&self, text: &str) {
        let seconds = self.begun.elapsed().as_secs();
        self.line("");
        self.line(&self.inked(Ink::Good, &format!("{} checks, all true, in {seconds} s.", self.ticks.get())));
        self.say(text);
        self.line("");
    }

    /// The last lines after a bad end.
    pub fn failed(&self, failure: &Failure) {
        self.line("");
        self.line(&format!("  {} {}", self.inked(Ink::Bad, "✗"), kastellan::diagnostic::Chain(failure)));
        self.line("");
    }

    fn inked(&self, ink: Ink, text: &str) -> String {
        if self.has_colour { format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code()) } else { text.to_owned() }
    }

    /// A reader that hangs up (`make demo | head`) does not keep the demonstration from ending in order.
    fn line(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        self.last_was_tick.set(false);
        let _hung_up = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }
}

/// Breaks a paragraph at blanks.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}
