//! What can go wrong with one Secret.

use crate::diagnostic::{Disposition, Hint};
use crate::k8s::{K8sError, Keeper};
use crate::names::NamespacedName;
use crate::spec::SecretPlace;

/// Why a Secret was not observed, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A Secret that Kastellan did not write stands there.
    #[error("Secret `{place}` exists and is not ours{}", told(.keeper.as_ref()))]
    Foreign {
        /// Where.
        place: SecretPlace,
        /// Who has it, as far as it tells.
        keeper: Option<Keeper>,
    },
    /// A Secret that Kastellan did not write stands there since the plan was made, which could not tell of it.
    #[error("Secret `{place}` is not ours, and the plan did not tell of it{}", told(.keeper.as_ref()))]
    NotPlanned {
        /// Where.
        place: SecretPlace,
        /// Who has it, as far as it tells.
        keeper: Option<Keeper>,
    },
    /// A Secret of another user of Kastellan stands there.
    #[error("Secret `{place}` is the delivery of user `{user}`")]
    OfOtherUser {
        /// Where.
        place: SecretPlace,
        /// That user.
        user: NamespacedName,
    },
    /// It has another `type`, which can never change.
    #[error("Secret `{place}` has the type `{found}`, and this format needs `{wanted}`")]
    OtherType {
        /// Where.
        place: SecretPlace,
        /// Its type.
        found: String,
        /// The format's.
        wanted: &'static str,
    },
    /// It is immutable.
    #[error("Secret `{place}` is immutable")]
    Immutable {
        /// Where.
        place: SecretPlace,
    },
    /// It was changed by somebody else each time we were about to change it.
    #[error("Secret `{place}` was changed again and again meanwhile")]
    Unsettled {
        /// Where.
        place: SecretPlace,
    },
    /// It was written to another cluster than the one that is there now.
    #[error(
        "Secret `{place}` was delivered to another Kubernetes cluster (`{recorded}`) than the one that is there now (`{found}`)"
    )]
    OtherCluster {
        /// Where.
        place: SecretPlace,
        /// The id of the cluster that it was written to.
        recorded: String,
        /// The id of the one that is there.
        found: String,
    },
    /// What the record names is no place of a Secret.
    #[error("`{target}` is no place of a Secret")]
    Place {
        /// As the record has it.
        target: String,
    },
    /// The API was not asked, or did not do it.
    #[error("failed to {what} Secret `{place}`")]
    Api {
        /// What was tried: "look at", "read", "write" or "remove".
        what: &'static str,
        /// Where.
        place: SecretPlace,
        /// Why not.
        #[source]
        source: K8sError,
    },
}

fn told(keeper: Option<&Keeper>) -> String {
    keeper.map(|keeper| format!(": it belongs to {keeper}")).unwrap_or_default()
}

impl SecretError {
    /// Whose turn it is.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unsettled { .. } => Disposition::Retry,
            Self::Api { source, .. } => source.disposition(),
            Self::Foreign { .. }
            | Self::NotPlanned { .. }
            | Self::OfOtherUser { .. }
            | Self::OtherType { .. }
            | Self::Immutable { .. }
            | Self::OtherCluster { .. }
            | Self::Place { .. } => Disposition::Stall,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Foreign { keeper: Some(Keeper::Controller(_)), .. } => {
                Some("deliver to another name, or take it from its owner first and say `adopt: true`".to_owned())
            }
            Self::Foreign { .. } => Some(
                "deliver to another name, or say `adopt: true` to have it taken over; foreign keys stay".to_owned(),
            ),
            Self::NotPlanned { .. } => Some("look at the next plan: applying that takes it over".to_owned()),
            Self::OfOtherUser { .. } => Some("give each delivery a Secret of its own".to_owned()),
            Self::OtherType { place, .. } | Self::Immutable { place } => Some(format!(
                "deliver to another name, or delete it, so that it is made anew: `kubectl -n {} delete secret {}`",
                place.namespace, place.name
            )),
            Self::Unsettled { .. } => Some("look who else writes it: `managedFields` names them".to_owned()),
            Self::OtherCluster { found, .. } => Some(format!(
                "point the kubeconfig back to the other one; or, if this one is to have the credentials from now on, say so once: \
                 `kastellan apply --accept-cluster {found}`"
            )),
            Self::Place { .. } => None,
            Self::Api { source, .. } => source.hint(),
        }
    }
}
