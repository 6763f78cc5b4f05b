//! The flags of `kastellan import`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use super::arguments::{FileArguments, PlainFormat};
use crate::engine::GivenPlace;
use crate::names::{ClusterName, Scope, Segment, StoreName};

/// The text below the flags.
pub(super) const AFTER_HELP: &str = "\
Each password is proven by a login on every broker, and kept as generation 1 with the salt that Kafka has. ACLs and quotas \
become the documents' as they are in Kafka. Nothing is written to Kafka or Kubernetes, and no file is written over.\n\n\
A password that does not log in is listed and not kept. Nobody can tell it before it is tried: it counts as one failed \
authentication on one broker, and is tried on no other. A user that Kafka does not know costs none.\n\n\
From strimzi: the `KafkaUser` resources are read from files, or from standard input, and the Secrets that the User Operator \
wrote from the Kubernetes API, by the kubeconfig and with the right to `get` them.\n\n\
From kafka: the passwords are lines `name:password`, in a file or on standard input; or they are in a store that a document \
declares, below its `inputs`. A document there that has a `password` is one user, called as its `username` says, else as the \
document itself. Any other document has the names of users as its keys. A path that ends with `/` is a folder with a document \
for each user. For a \
store that is only read, `kastellan policy vault --purpose import` prints the rights.\n\n\
Examples:\n  kubectl get kafkausers -A -o yaml | kastellan import --from strimzi --resources - --dry-run\n  \
kastellan import --from strimzi --resources users/ --context prod\n  \
kastellan import --from kafka --passwords - < passwords.txt";

/// Where passwords are handed in: one of the flags for it.
const GIVEN: &str = "given";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new(GIVEN).args(["passwords", "passwords_from_store"]))]
pub(super) struct ImportArguments {
    /// What manages the users today
    #[arg(long, value_enum, requires_if("kafka", GIVEN))]
    pub from: Source,
    /// Strimzi's `KafkaUser` resources: files, folders, `-` for standard input; can be repeated
    #[arg(long, value_name = "PATH", required_if_eq("from", "strimzi"), conflicts_with = GIVEN)]
    pub resources: Vec<PathBuf>,
    /// Names and passwords, a line `name:password` for each user; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub passwords: Option<PathBuf>,
    /// A document below the `inputs` of a store, or a folder (with a `/` at its end), with the passwords; can be repeated
    #[arg(long, value_name = "STORE/PATH")]
    pub passwords_from_store: Vec<GivenPlace>,
    /// The context of the kubeconfig to read Secrets by [default: the current one]
    #[arg(long, value_name = "CONTEXT", conflicts_with = GIVEN)]
    pub context: Option<String>,
    /// What the User Operator puts before the name of a user's Secret, where its resource does not tell the whole name
    #[arg(long, value_name = "PREFIX", default_value = "", conflicts_with = GIVEN)]
    pub secret_prefix: String,
    /// The namespace that the documents of the users are in
    #[arg(short = 'n', long, default_value = "default", conflicts_with = "resources")]
    pub namespace: Segment,
    /// The cluster the users are on, where documents declare several
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<ClusterName>,
    /// The store that keeps them, where documents declare several
    #[arg(long, value_name = "NAME")]
    pub store: Option<StoreName>,
    /// Folder for the users' documents; a folder for each namespace is made in it
    #[arg(long, value_name = "FOLDER", default_value = "kastellan/users")]
    pub directory: PathBuf,
    #[command(flatten)]
    pub files: FileArguments,
    /// The set of documents the users belong to
    #[arg(long, default_value_t = Scope::default(), env = "KASTELLAN_SCOPE")]
    pub scope: Scope,
    /// Read, look and log in, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Form of the result
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: PlainFormat,
}

/// What manages the users today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Source {
    /// Strimzi's User Operator.
    Strimzi,
    /// Nothing but Kafka.
    Kafka,
}
