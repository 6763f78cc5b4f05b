//! Rotation as a careful person does it by hand, and as a hasty one does: what the counts must find.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, ResourceType};

use super::Rotator;
use crate::load::LISTENER;
use crate::load::applications::{Application, Habit, Kind};
use crate::load::clients::Clients;
use crate::load::disturbances::Disturbances;
use crate::stack::kafka::principal;
use crate::stack::{Cluster, Credentials, StackError, pause, wait_until, write_private};

/// How long both credentials work.
const OVERLAP: Duration = Duration::from_secs(4);
/// How long a hasty person leaves applications with a credential that is gone.
const GAP: Duration = Duration::from_secs(2);
/// How often a step is tried while a broker is away.
const ATTEMPTS_MAX: u32 = 60;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

/// When the old credential goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// After every application has moved to the new one.
    Careful,
    /// Before they have.
    Hasty,
}

/// Rotates through the stack's own administrator.
pub struct ByHand<'c> {
    cluster: &'c Cluster,
    manner: Manner,
}

/// One of the two places of a user's credentials.
struct Place {
    username: String,
    mechanism: Mechanism,
}

impl Place {
    /// The places of an application's credentials take turns.
    fn of(application: &Application, turn: usize) -> Self {
        let name = &application.name;
        match application.habit.has_two_users() {
            true => Self { username: format!("{name}.{}", ["a", "b"][turn % 2]), mechanism: Mechanism::ScramSha512 },
            false => Self { username: name.clone(), mechanism: Mechanism::ALL[turn % 2] },
        }
    }
}

impl<'c> ByHand<'c> {
    /// Somebody with a cluster.
    pub const fn new(cluster: &'c Cluster, manner: Manner) -> Self {
        Self { cluster, manner }
    }

    /// A new credential in one place, and what is written down of it.
    fn prepare(&self, application: &Application, place: &Place) -> Result<String, StackError> {
        let credentials = Credentials::random(&place.username);
        attempt(|| self.cluster.set_password(&place.username, place.mechanism, &credentials.password))?;
        // A broker that starts serves logins up to a second before it knows what was written while it was starting.
        attempt(|| self.cluster.await_all_brokers())?;
        Ok(self.render(application.kind, place.mechanism, &credentials))
    }

    fn remove(&self, place: &Place) -> Result<(), StackError> {
        attempt(|| match self.cluster.mechanisms_of(&place.username)?.contains(&place.mechanism) {
            true => self.cluster.delete_password(&place.username, place.mechanism),
            false => Ok(()),
        })
    }

    fn render(&self, kind: Kind, mechanism: Mechanism, credentials: &Credentials) -> String {
        let (username, password) = (&credentials.username, credentials.password_text());
        let common = format!(
            "bootstrap.servers={}\nsecurity.protocol={}\nsasl.mechanism={mechanism}\n",
            self.cluster.bootstrap(LISTENER),
            LISTENER.security_protocol(),
        );
        match kind {
            Kind::Librdkafka => format!("{common}sasl.username={username}\nsasl.password={password}\n"),
            Kind::Java | Kind::Own => format!(
                "{common}sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
                 username=\"{username}\" password=\"{password}\";\n"
            ),
        }
    }

    fn rotate_one(&self, application: &Application, clients: &Clients<'_>, until: Instant) -> Result<(), StackError> {
        for turn in 1.. {
            if Instant::now() >= until {
                break;
            }
            let (old, new) = (Place::of(application, turn - 1), Place::of(application, turn));
            let text = self.prepare(application, &new)?;
            if self.manner == Manner::Hasty {
                self.remove(&old)?;
                pause(GAP);
            }
            publish(application, &text)?;
            match application.habit {
                // Its old credential is held.
                Habit::NeverReloads => break,
                Habit::Restarts => clients.restart(application)?,
                Habit::Reloads | Habit::PinsMechanism => {}
            }
            pause(OVERLAP);
            self.remove(&old)?;
            application.tally.note_rotation();
        }
        Ok(())
    }
}

impl Rotator for ByHand<'_> {
    fn provision(&self, applications: &[Arc<Application>]) -> Result<(), StackError> {
        for application in applications {
            for turn in 0..2 {
                self.cluster.grant(&principal(&Place::of(application, turn).username), &rules(application))?;
            }
            publish(application, &self.prepare(application, &Place::of(application, 0))?)?;
        }
        Ok(())
    }

    fn rotate(&self, clients: &Clients<'_>, _: &Disturbances, until: Instant) -> Result<(), StackError> {
        std::thread::scope(|scope| {
            let rotate = |application| scope.spawn(move || self.rotate_one(application, clients, until));
            let threads: Vec<_> = clients.applications().iter().map(|one| rotate(one.as_ref())).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("it returns its errors"))
        })
    }
}

/// What an application may do with its topic and its group.
fn rules(application: &Application) -> Vec<AclRule> {
    let allow = |resource_type, operation| AclRule {
        permission: Permission::Allow,
        resource_type,
        pattern_type: PatternType::Literal,
        resource_name: application.topic().into(),
        operation,
        host: "*".into(),
    };
    vec![
        allow(ResourceType::Topic, Operation::Read),
        allow(ResourceType::Topic, Operation::Write),
        allow(ResourceType::Group, Operation::Read),
    ]
}

/// Replaces an application's file at once.
fn publish(application: &Application, text: &str) -> Result<(), StackError> {
    let mut beside = application.file.clone().into_os_string();
    beside.push(".new");
    let beside = write_private(PathBuf::from(beside), text)?;
    let what = || format!("replace `{}`", application.file.display());
    fs::rename(beside, &application.file).map_err(|source| StackError::Io { what: what(), source })
}

/// Tries a step again while a broker is away; each is as good twice as once.
fn attempt(step: impl Fn() -> Result<(), StackError>) -> Result<(), StackError> {
    let mut last = step();
    wait_until(BETWEEN_ATTEMPTS * ATTEMPTS_MAX, || {
        if last.is_err() {
            pause(BETWEEN_ATTEMPTS);
            last = step();
        }
        last.is_ok()
    });
    last
}
