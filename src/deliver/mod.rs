//! Deliveries: the places a credential is published to, behind one port.
//!
//! ```text
//! request (no secret) --observe--> fact: in step, missing, touched, outdated, blocked …       reads no secret
//! shipment (request + credential) --deliver--> record of what was written                     never over a higher generation (R4)
//! withdrawal --withdraw--> gone                                                               only what is ours
//! ```
//!
//! All three take lists, so that an implementation can batch. They block: call them where blocking is allowed.
//! What a place may hold at most, and when it is written, is decided elsewhere.

mod error;
mod file;
mod kubernetes_secret;
mod workloads;

pub use error::DeliveryError;
pub use file::{FileDelivery, OwnerError};
pub use kubernetes_secret::{KubernetesSecretDelivery, LIST_FROM, SecretError, recorded_cluster_id};
pub use workloads::{Awaited, OfUser, WorkloadError, Workloads};

use std::path::PathBuf;
use std::sync::Arc;

use crate::credential::{Connection, DeliveryRecord, LiveCredential};
use crate::git::Git;
use crate::k8s::Kubernetes;
use crate::names::{ClusterName, DeliveryName, Generation, NamespacedName, RotationId, UserName};
use crate::render::Delivered;
use crate::spec::{FileFormat, Owner, SecretDelivery};

/// What is asked of one delivery, without a secret.
#[derive(Debug, Clone)]
pub struct DeliveryRequest {
    /// The user's document.
    pub user: NamespacedName,
    /// Which of its deliveries.
    pub name: DeliveryName,
    /// Name in Kafka.
    pub username: UserName,
    /// Whose bootstrap servers it carries.
    pub cluster: ClusterName,
    /// How clients reach that cluster.
    pub connection: Connection,
    /// Where to.
    pub target: Target,
    /// The credential that is published now (R9); `None` before the first.
    pub published: Option<(Generation, RotationId)>,
    /// What was written before; `None` for a delivery that the record does not know.
    pub recorded: Option<DeliveryRecord>,
    /// What may become of something that is somebody else's.
    pub strangers: Strangers,
}

/// What may become of something that is somebody else's, where the document says to take it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strangers {
    /// The plan told of one: it is taken over.
    TakenOver,
    /// The plan told of none: it stays until one does.
    LeftAlone,
}

/// Where a delivery goes, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file on this machine.
    File(FileTarget),
    /// A Kubernetes Secret.
    KubernetesSecret(Box<SecretDelivery>),
}

impl Target {
    /// As records name it.
    pub fn text(&self) -> String {
        match self {
            Self::File(file) => file.path.to_string_lossy().into_owned(),
            Self::KubernetesSecret(secret) => secret.place.to_string(),
        }
    }

    /// Whether the document says to take over what is somebody else's there.
    pub fn may_be_a_strangers(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::KubernetesSecret(secret) => secret.adopt,
        }
    }
}

/// A file on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTarget {
    /// Absolute path; its folder has to exist.
    pub path: PathBuf,
    /// Format.
    pub format: FileFormat,
    /// By name or number; `None` leaves an existing file to its owner, and a new one to whoever runs this.
    pub owner: Option<Owner>,
}

/// A request with the credential that fulfils it.
#[derive(Debug, Clone)]
pub struct Shipment {
    /// What is asked.
    pub request: DeliveryRequest,
    /// The credential; its generation and rotation id are what counts, not the request's.
    pub credential: Arc<LiveCredential>,
}

/// A delivery that has to go.
#[derive(Debug, Clone)]
pub struct Withdrawal {
    /// The user's document.
    pub user: NamespacedName,
    /// The highest generation the record knows of: something newer is not ours to delete.
    pub newest: Generation,
    /// What was written where.
    pub recorded: DeliveryRecord,
}

/// How a delivery stands. Nothing secret was read to tell.
#[derive(Debug)]
pub enum DeliveryFact {
    /// It is what the request asks for, and nobody touched it since it was written.
    InStep,
    /// There is nothing yet.
    Missing,
    /// It is ours, and not as it was written, or not recorded; to be compared where secrets may be opened.
    Touched,
    /// It is ours, and another generation, format, connection, owner or target is asked for.
    Outdated,
    /// Somebody else's, which the document says to take over.
    Adoptable {
        /// Who has a hand in it, as far as it tells.
        keepers: Vec<String>,
    },
    /// It was written on another machine, where this one cannot look.
    OtherMachine {
        /// The id of that machine.
        machine: String,
    },
    /// It would not be written: delivering fails with this.
    Blocked(DeliveryError),
    /// It could not be looked at.
    Unknown(DeliveryError),
}

/// One kind of delivery.
pub trait Delivery: Send + Sync {
    /// What the record calls it.
    fn kind(&self) -> &'static str;

    /// Tells how deliveries stand, in the order of the requests. Changes nothing and reads no secret.
    fn observe(&self, requests: &[DeliveryRequest]) -> Vec<DeliveryFact>;

    /// Brings deliveries to what is asked, in the order of the shipments.
    ///
    /// # Guarantees
    /// A target holds either all of the old or all of the new content, whenever this stops. One that holds the right
    /// content already is not written. A higher generation is never replaced, nor what is not ours.
    ///
    /// # Errors
    /// Each delivery fails alone; [`DeliveryError::disposition`] says whose turn it is.
    fn deliver(&self, shipments: &[Shipment]) -> Vec<Result<DeliveryRecord, DeliveryError>>;

    /// Reads the credential of `user` back from a target; opens its secret.
    ///
    /// # Errors
    /// What stands there is not a whole credential of that user.
    fn read_back(&self, user: &NamespacedName, target: &Target) -> Result<Delivered, DeliveryError>;

    /// Removes deliveries that are ours, in the order given. One that is gone already is a success.
    ///
    /// # Errors
    /// As for [`Delivery::deliver`]; what is not ours stays.
    fn withdraw(&self, withdrawals: &[Withdrawal]) -> Vec<Result<(), DeliveryError>>;
}

/// Every kind of delivery there is.
pub struct Deliveries {
    kinds: Vec<Box<dyn Delivery>>,
    workloads: Workloads,
}

impl Deliveries {
    /// All deliveries, as seen from this machine. `machine` is an id that no other machine has; `git` is the program, if
    /// there is one; `kubernetes` are the clusters that Secrets go to.
    pub fn new(machine: String, git: Option<Git>, kubernetes: Arc<Kubernetes>) -> Self {
        let workloads = Workloads::new(kubernetes.clone());
        let kinds: Vec<Box<dyn Delivery>> =
            vec![Box::new(FileDelivery::new(machine, git)), Box::new(KubernetesSecretDelivery::new(kubernetes))];
        Self { kinds, workloads }
    }

    /// The implementation of a recorded kind; `None` for one that this program does not know.
    pub fn of_kind(&self, kind: &str) -> Option<&dyn Delivery> {
        self.iter().find(|delivery| delivery.kind() == kind)
    }

    /// The implementation for a target.
    pub fn of_target(&self, target: &Target) -> &dyn Delivery {
        let kind = match target {
            Target::File(_) => FileDelivery::KIND,
            Target::KubernetesSecret(_) => KubernetesSecretDelivery::KIND,
        };
        self.of_kind(kind).expect("every target has its line in the registry")
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Delivery> {
        self.kinds.iter().map(Box::as_ref)
    }

    /// What deliveries to Kubernetes restart.
    pub fn workloads(&self) -> &Workloads {
        &self.workloads
    }
}

impl DeliveryFact {
    /// Whose it is that is to be taken over, for people; `None` where nothing is, or nothing tells.
    pub fn whose(&self) -> Option<String> {
        match self {
            Self::Adoptable { keepers } if !keepers.is_empty() => {
                Some(format!("it belongs to {}", keepers.join(" and ")))
            }
            Self::Adoptable { .. }
            | Self::InStep
            | Self::Missing
            | Self::Touched
            | Self::Outdated
            | Self::OtherMachine { .. }
            | Self::Blocked(_)
            | Self::Unknown(_) => None,
        }
    }

    /// Why the delivery is to be written or cannot be, for people; `None` when it is in step.
    pub fn why(&self) -> Option<String> {
        Some(match self {
            Self::InStep => return None,
            Self::Missing => "it is not there".to_owned(),
            Self::Touched => "it is not as it was written".to_owned(),
            Self::Outdated => "what it should hold has changed".to_owned(),
            Self::Adoptable { .. } => {
                format!("{}, and is taken over", self.whose().unwrap_or_else(|| "it is not ours".to_owned()))
            }
            Self::OtherMachine { machine } => format!("it was written on another machine (`{machine}`)"),
            Self::Blocked(error) | Self::Unknown(error) => crate::diagnostic::Chain(error).to_string(),
        })
    }
}
