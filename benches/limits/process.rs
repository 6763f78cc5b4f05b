//! Time and memory of processes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this process so far.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The most memory a process has had, MiB; `None` once it is gone.
pub fn peak_memory_mib(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// CPU time of a process so far, of all its threads, in seconds; `None` once it is gone.
fn cpu_seconds(process: &str) -> Option<f64> {
    /// In which Linux tells it (USER_HZ), whatever its own clock does.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may hold anything: the state, ten numbers, and the ticks in user and in system mode.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// What a finished program took and said.
pub struct Ran {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_mib: f64,
    pub status: i32,
    pub stdout: String,
}

/// How often a running program's memory is read: often enough not to miss its peak.
const SAMPLE: Duration = Duration::from_millis(20);

/// Runs a program to its end.
pub fn run(command: &mut Command) -> super::Outcome<Ran> {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().expect("stdout is piped");
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut output));
    let (id, mut peak_mib, mut cpu) = (child.id().to_string(), 0.0_f64, 0.0_f64);
    let status = loop {
        peak_mib = peak_memory_mib(&id).unwrap_or(0.0).max(peak_mib);
        cpu = cpu_seconds(&id).unwrap_or(0.0).max(cpu);
        match child.try_wait()? {
            Some(status) => break status,
            None => rest(SAMPLE),
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let stdout = reader.join().expect("reading does not panic")?;
    Ok(Ran { seconds, cpu_seconds: cpu, peak_mib, status: status.code().unwrap_or(-1), stdout })
}

#[expect(clippy::disallowed_methods, reason = "a bench thread that watches a child has nothing else to do")]
fn rest(duration: Duration) {
    std::thread::sleep(duration);
}
