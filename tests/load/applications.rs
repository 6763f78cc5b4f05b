//! Applications by kind of client and by what they do when their credential changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tally::Tally;
use crate::namespace::secret_name;
use crate::stack::unique_name;

/// Which client an application is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// librdkafka.
    Librdkafka,
    /// Kafka's own client for Java.
    Java,
    /// Kastellan's own, which has no requests for records: it logs in and asks for the cluster.
    Own,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Librdkafka, Self::Java, Self::Own];

    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Librdkafka => "librdkafka",
            Self::Java => "Java",
            Self::Own => "our own",
        }
    }

    /// Whether it produces and consumes.
    pub const fn has_records(self) -> bool {
        match self {
            Self::Librdkafka | Self::Java => true,
            Self::Own => false,
        }
    }

    /// What its file is written in.
    pub const fn format(self) -> &'static str {
        match self {
            Self::Librdkafka => "librdkafka",
            Self::Java | Self::Own => "properties",
        }
    }
}

/// What an application does when its credential changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// Reads its file when it changes, and connects anew.
    Reloads,
    /// Reads its file when it starts. Whoever runs it restarts it after a rotation, and then acknowledges.
    Restarts,
    /// Reads user name and password when they change, and uses the mechanism that it was built with. A flip would lock it
    /// out, so it alternates between two users.
    PinsMechanism,
    /// Reads its file when it starts, and is never restarted. Nobody acknowledges, so its old credential stays.
    NeverReloads,
}

impl Habit {
    /// All habits.
    pub const ALL: [Self; 4] = [Self::Reloads, Self::Restarts, Self::PinsMechanism, Self::NeverReloads];

    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reloads => "reloads",
            Self::Restarts => "restarts, then ack",
            Self::PinsMechanism => "pins its mechanism",
            Self::NeverReloads => "never reloads",
        }
    }

    /// Whether the file is read whenever it changes.
    pub const fn follows_its_file(self) -> bool {
        match self {
            Self::Reloads | Self::PinsMechanism => true,
            Self::Restarts | Self::NeverReloads => false,
        }
    }

    /// Whether two users take turns, in place of two mechanisms of one.
    pub const fn has_two_users(self) -> bool {
        match self {
            Self::PinsMechanism => true,
            Self::Reloads | Self::Restarts | Self::NeverReloads => false,
        }
    }
}

/// One application with a user of its own, and, where its client has records, a topic and a group of the same name.
#[derive(Debug)]
pub struct Application {
    /// Its name, its user's, its topic's and its group's.
    pub name: String,
    /// Which client it is built on.
    pub kind: Kind,
    /// What it does when its credential changes.
    pub habit: Habit,
    /// What it reads.
    pub file: PathBuf,
    /// Whether that is a Secret which is mounted, and not delivered as a file.
    pub is_mounted: bool,
    /// What it went through.
    pub tally: Tally,
}

impl Application {
    /// What it produces to and consumes from.
    pub fn topic(&self) -> &str {
        &self.name
    }
}

/// How many applications of each habit there are, for each kind of client.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    /// Of [`Habit::Reloads`]; twice as many on our own client.
    pub reloading: usize,
    /// Of [`Habit::Restarts`].
    pub restarting: usize,
    /// Of [`Habit::PinsMechanism`], which only Java clients have.
    pub pinning: usize,
    /// Of [`Habit::NeverReloads`].
    pub never_reloading: usize,
    /// Of each of these that read properties, so many have them in a Secret.
    pub mounting: usize,
}

impl Cast {
    /// Enough users for 200 rotations in little more than a minute, and no more clients than two cores carry.
    pub const WHOLE: Self = Self { reloading: 8, restarting: 3, pinning: 3, never_reloading: 1, mounting: 1 };
    /// One or two of each.
    pub const SMALL: Self = Self { reloading: 2, restarting: 1, pinning: 1, never_reloading: 1, mounting: 0 };

    /// The applications, with their files below `folder`.
    pub fn assemble(self, folder: &Path) -> Vec<Arc<Application>> {
        let mut applications = Vec::new();
        for kind in Kind::ALL {
            for habit in Habit::ALL {
                applications.extend((0..self.count(kind, habit)).map(|index| {
                    let name = unique_name("app");
                    let is_mounted = index < self.mounting && kind.format() == "properties";
                    let file = if is_mounted {
                        folder.join(secret_name(&name)).join("client.properties")
                    } else {
                        folder.join(format!("{name}.{}", kind.format()))
                    };
                    Arc::new(Application { name, kind, habit, file, is_mounted, tally: Tally::default() })
                }));
            }
        }
        applications
    }

    const fn count(self, kind: Kind, habit: Habit) -> usize {
        match (habit, kind) {
            (Habit::Reloads, Kind::Librdkafka | Kind::Java) => self.reloading,
            // They cost little.
            (Habit::Reloads, Kind::Own) => 2 * self.reloading,
            (Habit::Restarts, _) => self.restarting,
            (Habit::PinsMechanism, Kind::Java) => self.pinning,
            (Habit::PinsMechanism, Kind::Librdkafka | Kind::Own) => 0,
            (Habit::NeverReloads, _) => self.never_reloading,
        }
    }
}
