//! Rotation as a hasty person does it by hand, who takes the old credential away before its application has moved: what
//! the counts must find.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kastellan::names::{AclRule, Mechanism, Operation, PatternType, Permission, ResourceType};

use super::{Goal, Rotator};
use crate::load::LISTENER;
use crate::load::applications::{Application, Habit, Kind};
use crate::load::clients::Clients;
use crate::load::disturbances::Disturbances;
use crate::stack::kafka::principal;
use crate::stack::{Cluster, Credentials, StackError, pause, write_private};

/// How long applications are left with a credential that is gone.
const GAP: Duration = Duration::from_secs(2);

/// Rotates through the stack's own administrator.
pub struct Hasty<'c>(pub &'c Cluster);

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

impl Hasty<'_> {
    /// A new credential in one place, and what is written down of it.
    fn prepare(&self, application: &Application, place: &Place) -> Result<String, StackError> {
        let credentials = Credentials::random(&place.username);
        self.0.set_password(&place.username, place.mechanism, &credentials.password)?;
        Ok(self.render(application.kind, place.mechanism, &credentials))
    }

    fn render(&self, kind: Kind, mechanism: Mechanism, credentials: &Credentials) -> String {
        let (username, password) = (&credentials.username, credentials.password_text());
        let common = format!(
            "bootstrap.servers={}\nsecurity.protocol={}\nsasl.mechanism={mechanism}\n",
            self.0.bootstrap(LISTENER),
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

    fn rotate_one(&self, application: &Application, clients: &Clients<'_>, goal: &Goal) -> Result<(), StackError> {
        for turn in 1.. {
            if goal.is_reached(clients.applications()) {
                break;
            }
            let (old, new) = (Place::of(application, turn - 1), Place::of(application, turn));
            let text = self.prepare(application, &new)?;
            self.0.delete_password(&old.username, old.mechanism)?;
            pause(GAP);
            publish(application, &text)?;
            match application.habit {
                // It is locked out for good.
                Habit::NeverReloads => break,
                Habit::Restarts => clients.restart(application)?,
                Habit::Reloads | Habit::PinsMechanism => {}
            }
            application.tally.note_rotation();
        }
        Ok(())
    }
}

impl Rotator for Hasty<'_> {
    fn overlap(&self) -> Duration {
        Duration::ZERO
    }

    fn provision(&self, applications: &[Arc<Application>]) -> Result<(), StackError> {
        for application in applications {
            for turn in 0..2 {
                self.0.grant(&principal(&Place::of(application, turn).username), &rules(application))?;
            }
            publish(application, &self.prepare(application, &Place::of(application, 0))?)?;
        }
        Ok(())
    }

    fn rotate(&self, clients: &Clients<'_>, _: &Disturbances, goal: &Goal) -> Result<(), StackError> {
        std::thread::scope(|scope| {
            let rotate = |application| scope.spawn(move || self.rotate_one(application, clients, goal));
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
