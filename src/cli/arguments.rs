//! Every command with its flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::import_arguments::ImportArguments;
use crate::names::{NamespacedName, Scope};

/// Declare Kafka users in Git. Their secrets stay secret.
#[derive(Debug, Parser)]
#[command(
    name = "kastellan",
    version,
    about,
    after_help = "Exit status: 0 done or no changes, 1 failed, 2 changes pending (with --detailed-exitcode), 3 refused \
(limit, stale plan, copied store), 4 some users failed, are blocked or wait, 64 wrong usage."
)]
pub(super) struct Cli {
    /// What to log to stderr, e.g. `debug` or `kastellan=trace` [default: warn]
    #[arg(long, global = true, env = "KASTELLAN_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write an identity, a store bound to this machine, and first documents
    #[command(after_help = "Example:\n  kastellan init --bootstrap-servers kafka-0:9093 --admin-username kastellan")]
    Init(InitArguments),
    /// Read and check documents; contacts nothing
    #[command(after_help = "Examples:\n  kastellan validate\n  kastellan validate -f users/ -o github")]
    Validate(ValidateArguments),
    /// Show what would change; writes nothing and needs no right to read a secret
    #[command(after_help = "Examples:\n  kastellan plan\n  kastellan plan -f kastellan/ --save plan.json\n  \
kastellan plan --detailed-exitcode -o json\n  kastellan plan --against origin/main -o markdown")]
    Plan(PlanArguments),
    /// Plan, ask, execute
    #[command(
        after_help = "Examples:\n  kastellan apply\n  kastellan apply --auto-approve --prune --max-deletes 20\n  \
kastellan apply plan.json"
    )]
    Apply(ApplyArguments),
    /// Replace credentials now, or cut a stolen one off
    #[command(after_help = "Examples:\n  kastellan rotate payments\n  kastellan rotate payments orders --dry-run\n  \
kastellan rotate --all -n payments --auto-approve\n  kastellan rotate payments --revoke-now --new-principal")]
    Rotate(RotateArguments),
    /// Say that every consumer has moved to the new credential, so that the old one may go
    #[command(
        after_help = "During a revocation it says that the brokers were restarted since, so that no connection of before \
is left.\n\nExamples:\n  kastellan ack payments\n  kastellan ack payments --generation 8"
    )]
    Ack(AckArguments),
    /// Take a rotation back whose new credential nobody has seen yet
    #[command(
        after_help = "Possible in phase PREPARED only: later on somebody may use the new credential already, and a \
rotation only goes forward.\n\nExample:\n  kastellan abort payments"
    )]
    Abort(AbortArguments),
    /// Go on after the store was restored from an older snapshot
    #[command(
        after_help = "What was delivered is newer than what the store knows, so nothing is changed until a person says how \
to go on.\n\n\
With --from-deliveries, what is delivered is the truth: the credential is read back from the delivered file, proven by \
logins, and kept. Clients notice nothing.\n\n\
Without it, the store's word is asserted again: a new credential, with a number above all that was seen, takes the place of \
the one that the store calls active. What is delivered works until it is retired; clients of what is replaced fail until \
they have the new one, and the plan says so.\n\n\
Before a store is restored, stop every Kastellan, and wait as long as `admin.fence`.\n\n\
Examples:\n  kastellan recover payments --from-deliveries --dry-run\n  kastellan recover payments"
    )]
    Recover(RecoverArguments),
    /// Log in with each published credential on every broker
    #[command(after_help = "Examples:\n  kastellan verify\n  kastellan verify payments/payments --with-librdkafka")]
    Verify(VerifyArguments),
    /// Generation, phase, age and deliveries of each user; contacts no cluster
    #[command(after_help = "Examples:\n  kastellan status\n  kastellan status payments -o json")]
    Status(StatusArguments),
    /// Take over users that live today, with the passwords they have
    #[command(after_help = super::import_arguments::AFTER_HELP)]
    Import(Box<ImportArguments>),
    /// Work on a store by hand
    Store(StoreArguments),
    /// Print the rights Kastellan itself needs
    Policy(PolicyArguments),
    /// Print or write the JSON Schemas of the documents, for editors
    #[command(after_help = "Examples:\n  kastellan schemas KafkaUser\n  kastellan schemas --directory deploy/schemas")]
    Schemas(SchemasArguments),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  kastellan completions bash > /etc/bash_completion.d/kastellan")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where documents are.
#[derive(Debug, Clone, Args)]
pub(super) struct FileArguments {
    /// Documents: files, folders, `-` for standard input; can be repeated [default: ./kastellan]
    #[arg(short = 'f', long = "file", value_name = "PATH", env = "KASTELLAN_FILES", value_delimiter = ':')]
    pub files: Vec<PathBuf>,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs; a versioned contract.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

/// Form of the output where Markdown makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PlainFormat {
    /// For people.
    Text,
    /// For programs; a versioned contract.
    Json,
}

/// Form of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FindingFormat {
    /// For people, with the line in question.
    Text,
    /// For programs; a versioned contract.
    Json,
    /// Annotations of a GitHub workflow.
    Github,
}

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Folder for the documents; created
    #[arg(default_value = "kastellan")]
    pub directory: PathBuf,
    /// Folder of the store; created [default: .kastellan/store beside the documents' folder]
    #[arg(long, value_name = "FOLDER")]
    pub store: Option<PathBuf>,
    /// Identity file that opens the store; created unless it exists [default: ~/.config/kastellan/identity.txt]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Kafka's address for Kastellan itself
    #[arg(long, default_value = "localhost:9092", value_name = "HOST:PORT,…")]
    pub bootstrap_servers: String,
    /// Kafka's address for applications [default: the same]
    #[arg(long, value_name = "HOST:PORT,…")]
    pub clients_bootstrap_servers: Option<String>,
    /// The user Kastellan logs in as; its password is read from KAFKA_ADMIN_PASSWORD
    #[arg(long, default_value = "kastellan", value_name = "USER")]
    pub admin_username: String,
    /// CA of the listeners, PEM; absent means plaintext
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ValidateArguments {
    #[command(flatten)]
    pub files: FileArguments,
    /// Form of the findings
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: FindingFormat,
}

/// What a pass is about, and how far it may go.
#[derive(Debug, Clone, Args)]
pub(super) struct PassArguments {
    /// The set of documents this pass answers for
    #[arg(long, default_value_t = Scope::default(), env = "KASTELLAN_SCOPE")]
    pub scope: Scope,
    /// Delete users whose document is gone
    #[arg(long)]
    pub prune: bool,
    /// Take over what exists in Kafka under the name of this user; can be repeated
    #[arg(long, value_name = "USER")]
    pub adopt: Vec<String>,
    /// Deliver to this Kubernetes cluster (the uid of its namespace `kube-system`) what another one had: it was rebuilt or
    /// replaced; can be repeated
    #[arg(long, value_name = "ID")]
    pub accept_cluster: Vec<String>,
    /// The most users, ACLs and quotas that may go
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub max_deletes: usize,
    /// Allow a pass that deletes every user of the scope
    #[arg(long)]
    pub allow_empty: bool,
    /// How long a deletion can be undone
    #[arg(long, default_value = "7d", value_parser = crate::spec::parse_duration, value_name = "DURATION")]
    pub undo_for: Duration,
}

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    pub files: FileArguments,
    #[command(flatten)]
    pub pass: PassArguments,
    /// Form of the plan
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Format,
    /// Save the plan for `apply PLANFILE`
    #[arg(long, value_name = "PLANFILE")]
    pub save: Option<PathBuf>,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Compare with the documents of another folder or file, or else of a Git revision; contacts nothing
    #[arg(
        long,
        value_name = "REF|PATH",
        conflicts_with_all = ["save", "prune", "adopt", "accept_cluster", "max_deletes", "allow_empty", "undo_for"]
    )]
    pub against: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ApplyArguments {
    /// A saved plan; it is carried out only if it would still do the same
    #[arg(value_name = "PLANFILE", conflicts_with_all = ["prune", "adopt", "accept_cluster", "max_deletes", "allow_empty", "undo_for"])]
    pub plan_file: Option<PathBuf>,
    #[command(flatten)]
    pub files: FileArguments,
    #[command(flatten)]
    pub pass: PassArguments,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Write to a copied store: say so only when its other copy is gone
    #[arg(long)]
    pub take_over_store: bool,
    /// Form of the result
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: PlainFormat,
}

/// What everything that is done by hand has in common.
#[derive(Debug, Args)]
pub(super) struct HandArguments {
    /// Only users of this namespace
    #[arg(short = 'n', long)]
    pub namespace: Option<crate::names::Segment>,
    #[command(flatten)]
    pub files: FileArguments,
    /// The set of documents this pass answers for
    #[arg(long, default_value_t = Scope::default(), env = "KASTELLAN_SCOPE")]
    pub scope: Scope,
    /// Show the plan, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Save the plan for `apply PLANFILE`
    #[arg(long, value_name = "PLANFILE", requires = "dry_run")]
    pub save: Option<PathBuf>,
    /// The most ACLs and quotas that may go
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub max_deletes: usize,
    /// Write to a copied store: say so only when its other copy is gone
    #[arg(long)]
    pub take_over_store: bool,
    /// Form of the result
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: PlainFormat,
}

#[derive(Debug, Args)]
pub(super) struct RotateArguments {
    /// `namespace/name`, or `name` where that is unambiguous
    #[arg(value_name = "USER", required_unless_present = "all", conflicts_with = "all")]
    pub users: Vec<String>,
    /// Every user of the documents, or of the namespace, whose password Kastellan draws
    #[arg(long)]
    pub all: bool,
    /// The credential was stolen: take its access away at once, then make a fresh one
    #[arg(long)]
    pub revoke_now: bool,
    /// Move the user to its other name in Kafka, so that access comes back without waiting
    #[arg(long, requires = "revoke_now")]
    pub new_principal: bool,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub hand: HandArguments,
}

#[derive(Debug, Args)]
pub(super) struct AckArguments {
    /// `namespace/name`, or `name` where that is unambiguous
    #[arg(value_name = "USER", required = true)]
    pub users: Vec<String>,
    /// Refuse unless this generation is the published one
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
    #[command(flatten)]
    pub hand: HandArguments,
}

#[derive(Debug, Args)]
pub(super) struct AbortArguments {
    /// `namespace/name`, or `name` where that is unambiguous
    #[arg(value_name = "USER", required = true)]
    pub users: Vec<String>,
    #[command(flatten)]
    pub hand: HandArguments,
}

#[derive(Debug, Args)]
pub(super) struct RecoverArguments {
    /// Take what is delivered for the truth: keep the credential that clients have, if it still works
    #[arg(long)]
    pub from_deliveries: bool,
    /// `namespace/name`, or `name` where that is unambiguous
    #[arg(value_name = "USER", required = true)]
    pub users: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub hand: HandArguments,
}

/// Which users.
#[derive(Debug, Clone, Args)]
pub(super) struct UserArguments {
    /// `namespace/name`, or `name` where that is unambiguous; all if none is given
    #[arg(value_name = "USER")]
    pub users: Vec<String>,
    /// Only users of this namespace
    #[arg(short = 'n', long)]
    pub namespace: Option<crate::names::Segment>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    pub users: UserArguments,
    #[command(flatten)]
    pub files: FileArguments,
    /// Also log in through librdkafka, and produce and consume a record where ACLs allow it
    #[arg(long)]
    pub with_librdkafka: bool,
    /// Form of the result
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: PlainFormat,
}

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    pub users: UserArguments,
    #[command(flatten)]
    pub files: FileArguments,
    /// Form of the status
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: PlainFormat,
}

#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    #[command(subcommand)]
    pub command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Put a given password into the store's inputs; it is read from standard input
    #[command(after_help = "Example:\n  pass show kafka/legacy | kastellan store put imports/legacy password")]
    Put {
        /// Path below the store's `inputs`, e.g. `imports/legacy`
        path: String,
        /// Key in the document there
        #[arg(default_value = "password")]
        key: String,
        /// The store, where there are several
        #[arg(long)]
        store: Option<crate::names::StoreName>,
        #[command(flatten)]
        files: FileArguments,
    },
    /// Copy every user of one store into another, with its passwords; both are declared
    #[command(after_help = "Example:\n  kastellan store copy --from local --to vault")]
    Copy {
        /// The store that has the users
        #[arg(long, value_name = "NAME")]
        from: crate::names::StoreName,
        /// The store that gets them
        #[arg(long, value_name = "NAME")]
        to: crate::names::StoreName,
        #[command(flatten)]
        files: FileArguments,
    },
}

#[derive(Debug, Args)]
pub(super) struct PolicyArguments {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// The ACLs of Kastellan's own user, as commands of `kafka-acls.sh`
    #[command(after_help = "Examples:\n  kastellan policy kafka\n  kastellan policy kafka --purpose plan")]
    Kafka {
        /// What Kastellan is to be able to do
        #[arg(long, value_enum, default_value = "apply")]
        purpose: PurposeArgument,
        #[command(flatten)]
        files: FileArguments,
    },
    /// The Vault policy of Kastellan's own token
    #[command(
        after_help = "Examples:\n  kastellan policy vault | vault policy write kastellan -\n  kastellan policy vault --purpose plan | vault policy write kastellan-plan -\n  kastellan policy vault --purpose import | vault policy write kastellan-import -"
    )]
    Vault {
        /// What Kastellan is to be able to do
        #[arg(long, value_enum, default_value = "apply")]
        purpose: VaultPurposeArgument,
        /// The store, where there is more than one in Vault
        #[arg(long, value_name = "NAME")]
        store: Option<crate::names::StoreName>,
        #[command(flatten)]
        files: FileArguments,
    },
    /// The rights that delivering Kubernetes Secrets takes, as Roles
    #[command(
        after_help = "Examples:\n  kastellan policy kubernetes | kubectl apply -f -\n  kastellan policy kubernetes --purpose plan --user ci@example.com"
    )]
    Kubernetes(KubernetesPolicyArguments),
}

#[derive(Debug, Args)]
pub(super) struct KubernetesPolicyArguments {
    /// What Kastellan is to be able to do
    #[arg(long, value_enum, default_value = "apply")]
    pub purpose: PurposeArgument,
    /// The service account that Kastellan runs as
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "kastellan/kastellan")]
    pub service_account: NamespacedName,
    /// Give the rights to a user instead
    #[arg(long, value_name = "USER", conflicts_with = "service_account")]
    pub user: Option<String>,
    /// Only for deliveries that name this context of the kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    pub context: Option<String>,
    #[command(flatten)]
    pub files: FileArguments,
}

/// What Kastellan is to be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PurposeArgument {
    /// Look only.
    Plan,
    /// Change things.
    Apply,
}

/// What a policy of Vault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum VaultPurposeArgument {
    /// Look only.
    Plan,
    /// Change things.
    Apply,
    /// Read passwords for `import`, where nothing is kept.
    Import,
}

#[derive(Debug, Args)]
pub(super) struct SchemasArguments {
    /// `CredentialStore`, `KafkaCluster` or `KafkaUser`; all if none is given
    pub kind: Option<String>,
    /// Write a file for each kind into this folder
    #[arg(long, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
}
