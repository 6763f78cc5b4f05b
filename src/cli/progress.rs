//! Progress on stderr, if it is a terminal; a line about a fence in any case.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::engine::{Event, Events};
use crate::view::counted;

/// A bar of users that are through, with what is being done.
pub(super) struct Bar {
    bar: ProgressBar,
    effects: Mutex<BTreeMap<&'static str, usize>>,
}

impl Bar {
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} [{bar:32}] {pos}/{len} users  {msg}")
            .expect("the template is checked by a test")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, effects: Mutex::default() }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Events for Bar {
    fn note(&self, event: Event) {
        match event {
            Event::Begins { users } => self.bar.set_length(users as u64),
            Event::Ended { users } => self.bar.inc(users as u64),
            Event::Executed { effect, users } => {
                let mut effects = self.effects.lock().expect("no panic while it is held");
                let count = effects.entry(effect).or_default();
                *count += users;
                self.bar.set_message(format!("{effect} {count}"));
            }
            Event::Fence { users, wait } => {
                let text = format!(
                    "waiting {} s for {}, until no earlier request can still be on its way (`admin.fence`)",
                    wait.as_secs_f32().ceil(),
                    counted(users, "user"),
                );
                self.bar.suspend(|| output::note(&text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        let bar = Bar::new();
        bar.note(Event::Begins { users: 3 });
        bar.note(Event::Ended { users: 1 });
        assert_eq!(bar.bar.position(), 1);
        bar.finish();
    }
}
