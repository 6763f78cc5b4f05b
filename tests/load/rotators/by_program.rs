//! Rotation by the real program: one command after another, each of which may be killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kastellan::render::read_stamp;

use super::{Goal, Rotator};
use crate::load::applications::{Application, Habit};
use crate::load::chance::Chance;
use crate::load::clients::Clients;
use crate::load::disturbances::Disturbances;
use crate::load::mount::Mounts;
use crate::namespace::{Namespace, secret_name};
use crate::operator::{Operator, Transport};
use crate::stack::{Cluster, StackError, kubernetes, pause};

/// How long old and new work side by side. A client here takes a second or two to move, and more on a busy machine or while a
/// broker is away.
const OVERLAP: Duration = Duration::from_secs(10);
/// How late a request may still be executed: a broker that lost its controller hands on what it was asked when there is another,
/// and on a busy machine that takes seconds. The documents' default allows for the 60 s that it may take at most.
const FENCE: &str = "5s";
/// Of a hundred commands so many are killed, where they have not ended by then.
const KILLED_PERCENT: u64 = 35;
/// When, at the latest: most have done their work by then.
const KILLED_WITHIN: Duration = Duration::from_millis(3_000);
/// How often a command is given until everything that is under way is finished.
const FINISHING_MAX: usize = 30;
const STEP: Duration = Duration::from_millis(10);
/// Done; some users wait or are blocked.
const EXPECTED: [i32; 2] = [0, 4];

/// Somebody who has the program, a store and documents.
pub struct ByProgram<'c> {
    operator: Operator<'c>,
    /// For those that have no file.
    mounts: Mounts,
    seed: u64,
}

/// A generation of each application by name.
type Generations = BTreeMap<String, u64>;

impl<'c> ByProgram<'c> {
    /// Somebody with a cluster; chance begins with a seed.
    pub fn new(cluster: &'c Cluster, seed: u64) -> Self {
        let mut operator = Operator::with(&[("kafka", cluster, Transport::Plaintext)]);
        operator.edit("kafka.yaml", "fence: 1s", &format!("fence: {FENCE}"));
        // The report counts what the brokers refused.
        operator.stop_watching();
        let mounts = Mounts::of(Namespace::of(&mut operator, kubernetes::shared()), operator.work().join("out"));
        Self { operator, mounts, seed }
    }

    /// Where it delivers to.
    pub fn folder(&self) -> PathBuf {
        self.operator.work().join("out")
    }

    fn log(&self) -> PathBuf {
        self.operator.work().join("last-command.log")
    }

    /// What the last command said, without the warnings about times that only tests choose.
    fn last_output(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        text.split("\n\n").filter(|part| !part.trim_start().starts_with("warning:")).collect::<Vec<_>>().join("\n\n")
    }

    /// A document that says what its clients do may not ask for a flip, and is told what it may ask for.
    fn see_the_flip_refused(&self, application: &Application) {
        let document = format!("{}.yaml", application.name);
        let (works, locks_out) = ("strategy: dual-user", "strategy: mechanism-flip, clientsReadMechanism: false");
        self.operator.edit(&document, works, locks_out);
        let refused = self.operator.run(&["validate"]);
        self.operator.edit(&document, locks_out, works);
        refused.exits(1).says("`strategy: mechanism-flip` is not possible").says("possible: `dual-user`");
    }

    /// Runs a command that nobody kills, or kills it; the exit status, if it came to that.
    fn command(&self, arguments: &[&str], killed_after: Option<Duration>) -> Result<Option<i32>, StackError> {
        let what = || format!("run `kastellan {}`", arguments.join(" "));
        let io = |source| StackError::Io { what: what(), source };
        let path = self.log();
        let log = File::create(&path).map_err(io)?;
        let errors = log.try_clone().map_err(io)?;
        let mut child = self.operator.command(arguments).stdout(log).stderr(errors).spawn().map_err(io)?;
        let deadline = killed_after.map(|after| Instant::now() + after);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(io)? {
                break status;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                child.kill().map_err(io)?;
                child.wait().map_err(io)?;
                return Ok(None);
            }
            pause(STEP);
        };
        match status.code() {
            Some(code) if EXPECTED.contains(&code) => Ok(Some(code)),
            code => {
                let output = self.last_output();
                let program = format!("kastellan {}` (it ended with {code:?})`", arguments.join(" "));
                Err(StackError::Program { program, output })
            }
        }
    }

    /// What is declared for an application.
    fn specification(&self, application: &Application) -> String {
        let Application { name, kind, habit, file, is_mounted, .. } = application;
        let overlap = format!("overlap: {}s", OVERLAP.as_secs());
        let (authentication, rotation) = match habit {
            Habit::Reloads => ("scram", format!("strategy: mechanism-flip, {overlap}")),
            Habit::Restarts | Habit::NeverReloads => {
                ("scram", format!("strategy: mechanism-flip, {overlap}, confirm: acknowledgement"))
            }
            Habit::PinsMechanism => ("scram-sha-512", format!("strategy: dual-user, {overlap}")),
        };
        let delivery = if *is_mounted {
            self.mounts.namespace().delivery(name)
        } else {
            format!("{{file: {{path: {}, format: {}}}}}", file.display(), kind.format())
        };
        format!(
            "{{clusters: [kafka], authentication: {{type: {authentication}}}, authorization: {{acls: [\
             {{resource: {{type: topic, name: {name}}}, operations: [Read, Write]}}, \
             {{resource: {{type: group, name: {name}}}, operations: [Read]}}]}}, rotation: {{{rotation}}}, \
             deliver: [{delivery}]}}"
        )
    }

    /// The generation that an application's file says it holds, or that is mounted; 0 if there is none.
    fn generation_of(&self, application: &Application) -> u64 {
        if application.is_mounted {
            return self.mounts.generation(&secret_name(&application.name));
        }
        let bytes = std::fs::read(&application.file).unwrap_or_default();
        read_stamp(&bytes).map_or(0, |stamp| stamp.generation.0)
    }
}

impl Rotator for ByProgram<'_> {
    fn overlap(&self) -> Duration {
        OVERLAP
    }

    fn provision(&self, applications: &[Arc<Application>]) -> Result<(), StackError> {
        for application in applications {
            self.operator.declare(&application.name, &self.specification(application));
            if application.habit == Habit::PinsMechanism {
                self.see_the_flip_refused(application);
            }
        }
        self.mounts.namespace().allow(&self.operator);
        self.operator.apply(&[]).exits(0);
        let is_there = |application: &&Arc<Application>| self.generation_of(application) > 0;
        assert!(applications.iter().all(|application| is_there(&application)), "everything is delivered and mounted");
        Ok(())
    }

    fn rotate(&self, clients: &Clients<'_>, disturbances: &Disturbances, goal: &Goal) -> Result<(), StackError> {
        let mut shift = Shift {
            program: self,
            clients,
            disturbances,
            chance: Chance::of(self.seed, "rotations"),
            generations: Generations::new(),
            restarted: Generations::new(),
        };
        shift.note_deliveries();
        while !goal.is_reached(clients.applications()) {
            let users = shift.choose();
            let names: Vec<&str> = users.iter().map(String::as_str).collect();
            shift.command(&[&["rotate", "--auto-approve"], names.as_slice()].concat())?;
            shift.move_clients()?;
            if shift.chance.percent(50) {
                shift.command(&["apply", "--auto-approve"])?;
                shift.move_clients()?;
            }
        }
        shift.finish()
    }
}

/// One run of rotations.
struct Shift<'r, 'c> {
    program: &'r ByProgram<'c>,
    clients: &'r Clients<'r>,
    disturbances: &'r Disturbances,
    chance: Chance,
    generations: Generations,
    restarted: Generations,
}

impl Shift<'_, '_> {
    /// Most users, so that their rotations come apart.
    fn choose(&mut self) -> Vec<String> {
        let names = self.clients.applications().iter().map(|application| format!("tests/{}", application.name));
        let mut chosen: Vec<String> = names.filter(|_| self.chance.percent(80)).collect();
        if chosen.is_empty() {
            chosen.push("--all".to_owned());
        }
        chosen
    }

    /// Gives a command, and kills it if chance says so.
    fn command(&mut self, arguments: &[&str]) -> Result<(), StackError> {
        self.disturbances.journal.note(format!("`kastellan {}` …", arguments.join(" ")));
        let is_killed = self.chance.percent(KILLED_PERCENT);
        let killed_after = is_killed.then(|| self.chance.between(Duration::ZERO, KILLED_WITHIN));
        if self.program.command(arguments, killed_after)?.is_none() {
            self.disturbances.note_kill();
        }
        self.disturbances.journal.note(format!("… ended:\n{}", self.program.last_output()));
        self.note_deliveries();
        Ok(())
    }

    /// Counts the rotations that reached their applications. One that is held is not complete.
    fn note_deliveries(&mut self) {
        for application in self.clients.applications() {
            let generation = self.program.generation_of(application);
            let before = self.generations.insert(application.name.clone(), generation);
            if before.is_some_and(|before| before < generation) && application.habit != Habit::NeverReloads {
                application.tally.note_rotation();
            }
        }
    }

    /// Restarts the applications that do not follow their file and have something new in it, and then says so.
    fn move_clients(&mut self) -> Result<(), StackError> {
        let applications = self.clients.applications().iter().filter(|one| one.habit == Habit::Restarts);
        let is_behind = |one: &&Arc<Application>| self.generations[&one.name] > self.restarted_with(one);
        let behind: Vec<Arc<Application>> = applications.clone().filter(is_behind).cloned().collect();
        std::thread::scope(|scope| {
            let restarts: Vec<_> = behind.iter().map(|one| scope.spawn(|| self.clients.restart(one))).collect();
            restarts.into_iter().try_for_each(|restart| restart.join().expect("it returns its errors"))
        })?;
        self.restarted.extend(behind.iter().map(|one| (one.name.clone(), self.generations[&one.name])));
        // What is not written down as published yet is not to be acknowledged yet.
        let waits = |one: &&Arc<Application>| self.program.operator.record(&one.name)["phase"] == "PUBLISHED";
        let moved: Vec<String> = applications.filter(waits).map(|one| format!("tests/{}", one.name)).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let moved: Vec<&str> = moved.iter().map(String::as_str).collect();
        self.command(&[&["ack"], moved.as_slice()].concat())
    }

    /// The generation an application was last restarted with; the first one it was started with.
    fn restarted_with(&self, application: &Application) -> u64 {
        self.restarted.get(&application.name).copied().unwrap_or(1)
    }

    /// Finishes what is under way, without being killed any more.
    fn finish(&mut self) -> Result<(), StackError> {
        for _ in 0..FINISHING_MAX {
            self.move_clients()?;
            self.program.command(&["apply", "--auto-approve"], None)?;
            self.note_deliveries();
            if self.unfinished().is_empty() {
                return Ok(());
            }
            pause(Duration::from_secs(1));
        }
        let output = self.program.last_output();
        let answer =
            format!("{:?} after {FINISHING_MAX} times `apply`, the last of which says:\n{output}", self.unfinished());
        Err(StackError::Refused { what: "finish every rotation".into(), answer })
    }

    /// Users that are not at rest, and their phases; an old credential that is held is at rest.
    fn unfinished(&self) -> Vec<String> {
        let phase = |application: &Application| self.program.operator.record(&application.name)["phase"].clone();
        let is_over = |application: &Application, phase: &serde_json::Value| {
            phase == "IDLE" || application.habit == Habit::NeverReloads && phase == "PUBLISHED"
        };
        let applications = self.clients.applications().iter().map(|one| (one, phase(one)));
        let open = applications.filter(|(one, phase)| !is_over(one, phase));
        open.map(|(one, phase)| format!("{} ({:?}) {phase}", one.name, one.habit)).collect()
    }
}
