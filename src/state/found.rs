//! Whether a document asks for what was found, so that taking its user over changes nothing.

use super::{DesiredUser, compare_access};
use crate::credential::WantedAuthentication;
use crate::names::{AclRule, ClusterName, Mechanism, UserName, UserQuotas};

/// What a document asks for that is not what was found, in a word for people; `None` where it asks for that very user.
pub fn not_as_found(
    wanted: &DesiredUser,
    (cluster, username, mechanism, rules, quotas): (&ClusterName, &UserName, Mechanism, &[AclRule], UserQuotas),
) -> Option<&'static str> {
    let keeps = match &wanted.wanted.authentication {
        WantedAuthentication::Scram { mechanisms, given: None, .. } => mechanisms.contains(&mechanism),
        WantedAuthentication::Scram { given: Some(_), .. } | WantedAuthentication::External => false,
    };
    let access = compare_access(wanted.rules.as_deref(), wanted.quotas.as_ref(), rules, quotas);
    if wanted.wanted.clusters != [cluster.clone()] {
        Some("clusters")
    } else if wanted.wanted.names() != std::slice::from_ref(username) {
        Some("names in Kafka")
    } else if !keeps {
        Some("authentication")
    } else if !access.is_empty() {
        Some("ACLs or quotas")
    } else {
        None
    }
}
