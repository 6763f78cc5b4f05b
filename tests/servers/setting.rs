//! Where a story takes place that is the same wherever credentials are kept and delivered.

use crate::namespace::Namespace;
use crate::operator::{Kept, Operator, Transport};
use crate::stack::{Cluster, kubernetes};

/// Where credentials are kept, and delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// In a folder, and to files.
    Local,
    /// In Vault, and to Kubernetes Secrets.
    Servers,
}

/// Somebody at work there.
pub struct Scene<'c> {
    pub operator: Operator<'c>,
    /// Where Secrets are delivered to, if they are.
    pub namespace: Option<Namespace>,
}

impl Setting {
    /// Somebody with a store there, for a cluster `kafka`.
    pub fn enter(self, cluster: &Cluster) -> Scene<'_> {
        let clusters = [("kafka", cluster, Transport::Plaintext)];
        match self {
            Self::Local => Scene { operator: Operator::with(&clusters), namespace: None },
            Self::Servers => {
                let mut operator = Operator::keeping(Kept::Vault(crate::vault::vault()), &clusters);
                let namespace = Namespace::of(&mut operator, kubernetes::shared());
                Scene { operator, namespace: Some(namespace) }
            }
        }
    }
}
