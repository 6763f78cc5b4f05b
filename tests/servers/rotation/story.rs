//! What changes a live credential, and how it is known that it is done.

use serde_json::json;

use super::Subject;

/// What is done to a user that is provisioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Its document asks for other iterations.
    Change,
    /// It is said that its clients have moved.
    Acknowledge,
    /// A rotation is taken back.
    Abort,
    /// Its credential was stolen.
    Revoke,
    /// It is said that the brokers were restarted since.
    GiveBack,
    /// Its credential was stolen, and its document gives it another name.
    Move,
    /// Its store was restored from before its last rotation.
    Recover,
}

/// A deed that is cut off at every point.
pub struct Story {
    /// What its users are called.
    pub name: &'static str,
    pub deed: Deed,
    /// `rotation` of the document.
    rotation: &'static str,
    /// What the deed executes when nothing interrupts it, in order; the second `look` of a pass is `look:2`.
    pub effects: &'static [&'static str],
    /// The names in Kafka, after the user's own, that have access in the end.
    suffixes: &'static [&'static str],
}

impl Story {
    pub const FLIP: Self = Self {
        name: "flip",
        deed: Deed::Change,
        rotation: "{strategy: mechanism-flip, overlap: 0s}",
        effects: &[
            "material",
            "record-prepared",
            "look",
            "upsert",
            "login",
            "record-verified",
            "document",
            "deliver",
            "record-published",
            "record-retiring",
            "look:2",
            "empty",
            "destroy",
            "record-idle",
        ],
        suffixes: &[""],
    };

    pub const DUAL: Self =
        Self { name: "dual", rotation: "{strategy: dual-user, overlap: 0s}", suffixes: &[".a", ".b"], ..Self::FLIP };

    pub const IN_PLACE: Self = Self {
        name: "place",
        deed: Deed::Change,
        rotation: "{strategy: in-place, allowDowntime: true}",
        effects: &[
            "material",
            "record-prepared",
            "look",
            "upsert",
            "login",
            "document",
            "deliver",
            "record-idle",
            "destroy",
            "record-idle:2",
        ],
        suffixes: &[""],
    };

    pub const ACKNOWLEDGE: Self = Self {
        name: "ack",
        deed: Deed::Acknowledge,
        rotation: "{strategy: mechanism-flip}",
        effects: &["record-confirmed", "login", "record-retiring", "look", "empty", "destroy", "record-idle"],
        suffixes: &[""],
    };

    pub const ABORT: Self = Self {
        name: "abort",
        deed: Deed::Abort,
        rotation: "{strategy: mechanism-flip}",
        effects: &["record-aborting", "look", "empty", "destroy", "record-idle"],
        suffixes: &[""],
    };

    pub const REVOKE: Self = Self {
        name: "stolen",
        deed: Deed::Revoke,
        rotation: "{strategy: mechanism-flip, overlap: 1h}",
        effects: &[
            "record-revoking",
            "withdraw",
            "look",
            "empty",
            "record-revoking:2",
            "material",
            "record-revoking:3",
            "look:2",
            "upsert",
            "login",
            "document",
            "deliver",
            "record-revoking:4",
        ],
        suffixes: &[],
    };

    pub const GIVE_BACK: Self = Self {
        name: "back",
        deed: Deed::GiveBack,
        effects: &[
            "record-revoking",
            "record-revoking:2",
            "look",
            "login",
            "grant",
            "record-revoking:3",
            "destroy",
            "record-idle",
        ],
        suffixes: &[""],
        ..Self::REVOKE
    };

    pub const MOVE: Self = Self {
        name: "move",
        deed: Deed::Move,
        effects: &[
            "record-revoking",
            "withdraw",
            "look",
            "empty",
            "record-revoking:2",
            "material",
            "record-revoking:3",
            "look:2",
            "grant",
            "upsert",
            "login",
            "document",
            "deliver",
            "record-revoking:4",
            "record-revoking:5",
            "destroy",
            "record-idle",
        ],
        suffixes: &[".new"],
        ..Self::REVOKE
    };

    pub const RECOVER: Self = Self {
        name: "restored",
        deed: Deed::Recover,
        effects: &[
            "record-idle",
            "material",
            "record-prepared",
            "look",
            "upsert",
            "login",
            "document",
            "deliver",
            "record-published",
            "record-retiring",
            "look:2",
            "empty",
            "destroy",
            "record-idle:2",
        ],
        ..Self::FLIP
    };

    /// Its part of the document, before the deed.
    pub fn spec(&self) -> String {
        self.spec_with(4096)
    }

    fn spec_with(&self, iterations: u32) -> String {
        format!("authentication: {{type: scram, iterations: {iterations}}}, rotation: {}", self.rotation)
    }

    /// Changes the document, where the deed begins with that; answers with the command.
    pub fn begin(&self, subject: &Subject<'_>) -> Vec<String> {
        let name = subject.name.as_str();
        let mut command = match self.deed {
            Deed::Change => {
                subject.put(&self.spec_with(8192));
                vec!["apply", "--auto-approve"]
            }
            Deed::Acknowledge | Deed::GiveBack => vec!["ack", name],
            Deed::Abort => vec!["abort", name],
            Deed::Revoke => vec!["rotate", name, "--revoke-now", "--auto-approve"],
            Deed::Recover => vec!["recover", name, "--auto-approve"],
            Deed::Move => {
                subject.put(&format!("username: {name}.new, {}", self.spec()));
                vec!["rotate", name, "--revoke-now", "--new-principal", "--auto-approve"]
            }
        };
        let alone = subject.alone();
        command.extend(alone.iter().map(String::as_str));
        command.into_iter().map(str::to_owned).collect()
    }

    /// The exit status of its command, and of an apply that finishes it.
    pub fn ends_with(&self) -> i32 {
        if self.deed == Deed::Revoke { 4 } else { 0 }
    }

    /// Whether the newest published credential has to log in all the time, and the one before until it is being retired.
    pub fn is_without_downtime(&self) -> bool {
        match self.deed {
            Deed::Change => self.name != Self::IN_PLACE.name,
            Deed::Acknowledge | Deed::Abort => true,
            Deed::Revoke | Deed::GiveBack | Deed::Move | Deed::Recover => false,
        }
    }

    /// The generation that is published in the end.
    pub fn generation(&self) -> u64 {
        match self.deed {
            Deed::Change | Deed::Acknowledge | Deed::Revoke | Deed::GiveBack | Deed::Move => 2,
            Deed::Abort => 1,
            Deed::Recover => 3,
        }
    }

    #[track_caller]
    pub fn assert_settled(&self, subject: &mut Subject<'_>, when: &str) {
        match self.deed {
            Deed::Change | Deed::Acknowledge | Deed::GiveBack | Deed::Move | Deed::Recover => {
                subject.assert_at_rest(when, self.generation(), self.generation());
            }
            Deed::Abort => subject.assert_at_rest(when, 1, 2),
            Deed::Revoke => {
                subject.note(when);
                let record = subject.record();
                assert_eq!((&record["phase"], &record["generation"]), (&json!("REVOKING"), &json!(2)), "{when}");
                subject.assert_only_newest_works(when);
            }
        }
        let names: Vec<String> = self.suffixes.iter().map(|suffix| format!("{}{suffix}", subject.name)).collect();
        subject.assert_access(when, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
