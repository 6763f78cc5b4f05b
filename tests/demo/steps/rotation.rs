//! A password is replaced while its service goes on writing.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use kastellan::names::Mechanism;

use super::{ORDERS_FILE, Remembered, Stage};
use crate::failure::Failure;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo/Producer.java");
/// A topic of its own, so that what others read is not in between.
const TOPIC: &str = "orders.shipped";
/// How long the service may take to say something: a JVM compiles its source first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Replaces the password of a service that writes all the while.
pub(super) fn rotate(stage: &Stage<'_>) -> Result<(), Failure> {
    let Stage { narrator, kafka, .. } = stage;
    narrator.chapter("A rotation under a running producer");
    narrator.say(
        "The orders service writes twenty records a second with its delivered file. It connects anew each second, so a \
         password that does not work would be noticed, and it reads its file again when that has changed.",
    );
    kafka.create_topic(TOPIC)?;
    let refused_before = kafka.failed_authentications();
    let mut service = Service::start(stage)?;
    service.await_news(|news| news.logins >= 2)?;
    let old = Remembered::of(stage, ORDERS_FILE)?;
    let printed = stage.kastellan("rotate orders --auto-approve", 0)?;
    narrator.check(
        "A new password is delivered, and the old one is still valid beside it: Kafka keeps one for each mechanism.",
        printed.says(&["rotate 1"]) && !old.is_delivered_again(stage)? && kafka.mechanisms_of("orders")?.len() == 2,
    )?;
    let moved = service.await_news(|news| news.files >= 2 && news.logins >= 4)?;
    narrator.check("The service has read the new file, and goes on.", moved.written > 0)?;
    let printed = stage.kastellan("status orders", 0)?;
    narrator.check("Kastellan waits for somebody to say so.", printed.says(&["generation 2", "kastellan ack"]))?;
    stage.kastellan("ack orders", 0)?;
    let mechanisms = kafka.mechanisms_of("orders")?;
    narrator.check("The old password is gone.", mechanisms == [Mechanism::ScramSha256].into())?;
    let last = service.await_news(|news| news.logins > moved.logins + 1)?;
    narrator.check(
        &format!(
            "{} records were written through {} logins, and not one login failed: not for the service, not on any broker.",
            last.written, last.logins
        ),
        last.refused == 0 && last.written > moved.written && kafka.failed_authentications() == refused_before,
    )
}

/// What the service says of itself.
#[derive(Clone, Copy, Default)]
struct News {
    files: u64,
    logins: u64,
    written: u64,
    refused: u64,
}

/// A running service; it ends with this value.
struct Service {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Service {
    fn start(stage: &Stage<'_>) -> Result<Self, Failure> {
        let Stage { narrator, kafka, workshop, .. } = stage;
        narrator.command(&format!("java Producer.java {ORDERS_FILE} {TOPIC} &"));
        let mut command = kafka.java_program(Path::new(SOURCE));
        command.arg(workshop.path(ORDERS_FILE)).arg(TOPIC);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(Failure::io("start the orders service"))?;
        let output = BufReader::new(process.stdout.take().expect("piped above"));
        Ok(Self { process, output })
    }

    /// Waits until the service says what is hoped for.
    fn await_news(&mut self, is_hoped_for: impl Fn(&News) -> bool) -> Result<News, Failure> {
        let until = Instant::now() + PATIENCE;
        let mut news = News::default();
        while Instant::now() < until {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).map_err(Failure::io("listen to the orders service"))?;
            if read == 0 {
                break;
            }
            let numbers = line.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
            let [files, logins, written, refused] = numbers[..] else { continue };
            news = News { files, logins, written, refused };
            if is_hoped_for(&news) {
                break;
            }
        }
        Ok(news)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ended = self.process.wait();
    }
}
