//! Crash points: stop the process, as `kill -9` would, before or after a named effect.
//!
//! Only in builds with the feature `crash-points` that are no release builds. `KASTELLAN_CRASH_AT=before:upsert` stops at
//! the first upsert; `after:record-prepared:3` after the third write of that name. The names are those of
//! `credential::Effect::name`.

/// Which side of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// Stops the process here if it was asked to.
#[cfg(all(feature = "crash-points", debug_assertions))]
pub(super) fn point(side: Side, effect: &'static str) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{LazyLock, Mutex};

    static ASKED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("KASTELLAN_CRASH_AT").ok());
    static PASSED: LazyLock<Mutex<std::collections::BTreeMap<String, AtomicUsize>>> = LazyLock::new(Mutex::default);

    let Some(asked) = &*ASKED else { return };
    let side = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    let name = format!("{side}:{effect}");
    let (wanted, count) = match asked.strip_prefix(&name) {
        Some("") => (true, 1),
        Some(rest) => match rest.strip_prefix(':').and_then(|count| count.parse().ok()) {
            Some(count) => (true, count),
            None => (false, 0),
        },
        None => (false, 0),
    };
    if !wanted {
        return;
    }
    let mut passed = PASSED.lock().expect("no panic while it is held");
    let times = passed.entry(name).or_default().fetch_add(1, Ordering::Relaxed) + 1;
    if times == count {
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    }
}

/// Stops the process here if it was asked to; never in this build.
#[cfg(not(all(feature = "crash-points", debug_assertions)))]
pub(super) fn point(_side: Side, _effect: &'static str) {}
