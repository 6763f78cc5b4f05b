//! Administration of one cluster: what exists, and changes with a result per item.
//!
//! ```text
//!   mod       connect, cluster, super users      scram   credentials       acls   ACLs       quotas   quotas
//!   barrier   when every broker has applied what a Describe showed         batches   rounds, batches, lanes
//! ```

mod acls;
mod barrier;
mod batches;
mod quotas;
mod scram;

pub use acls::{AclDeletion, AclScope};
pub use quotas::{QuotaChange, QuotaKeyChange};
pub use scram::{ScramAlteration, ScramChange, ScramListing};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeConfigsRequest};
use kafka_protocol::protocol::{Request as _, StrBytes};

use super::pool::{Cluster, Pool, api_versions};
use super::wire::{Answer as _, ApiVersions, ConfigEntry, DescribedConfigs, RegisteredBrokers};
use super::{Deadlines, Endpoint, KafkaError};
use crate::names::{BrokerId, Principal};

/// Code of a broker's configuration in DescribeConfigs (`ConfigResource.Type.BROKER`).
const BROKER_RESOURCE: i8 = 4;
/// The key that names the super users of Kafka's own authorizers.
const SUPER_USERS: &str = "super.users";

/// One cluster, logged in as Kastellan's principal. Cheap to clone; connections are opened on demand and shared.
#[derive(Clone)]
pub struct Admin {
    pool: Arc<Pool>,
    /// Held by the one ACL deletion under way.
    deletions: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("cluster", &self.pool.cluster()).finish_non_exhaustive()
    }
}

impl Admin {
    /// Connects by the bootstrap servers in turn, logs in, and learns the brokers.
    ///
    /// # Errors
    /// The first that another bootstrap server cannot change (a refused login, a wrong certificate), else the last one.
    pub async fn connect(endpoint: Endpoint, deadlines: Deadlines) -> Result<Self, KafkaError> {
        let pool = Arc::new(Pool::connect(endpoint, deadlines).await?);
        Ok(Self { pool, deletions: Arc::default() })
    }

    /// The cluster as it was when it was last asked.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.pool.cluster()
    }

    /// Requests so far by the name of their API, e.g. `CreateAcls`; logins are not counted.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.pool.sent()
    }

    /// Asks again which brokers there are, and what we may do.
    pub async fn refresh(&self) -> Result<Arc<Cluster>, KafkaError> {
        self.pool.refresh().await?;
        Ok(self.pool.cluster())
    }

    /// Brokers that are registered with the cluster, also those that do not run or are just starting, as one broker sees it;
    /// `None`: any of them. `None` is the answer of a broker before Kafka 4.0, which does not tell.
    pub async fn registered_brokers(&self, broker: Option<BrokerId>) -> Result<Option<RegisteredBrokers>, KafkaError> {
        let versions = self.pool.read::<ApiVersions>(broker, &api_versions()).await?;
        let (_, newest) = versions.ranges.get(&DescribeClusterRequest::KEY).copied().unwrap_or_default();
        if newest < RegisteredBrokers::VERSION {
            return Ok(None);
        }
        let request = DescribeClusterRequest::default().with_endpoint_type(BROKERS).with_include_fenced_brokers(true);
        self.pool.read::<RegisteredBrokers>(broker, &request).await.map(Some)
    }

    /// The principals whom the authorizer lets do everything, sorted; `None` when the brokers do not tell.
    ///
    /// Apache Kafka 3.9 and 4.3 do not, whatever the rights: a key outside of their own definitions counts as sensitive, and
    /// its value is held back. So protection of super users must not rest on this alone.
    pub async fn super_users(&self) -> Result<Option<BTreeSet<Principal>>, KafkaError> {
        let broker = self.pool.brokers().first().ok_or(KafkaError::NoBootstrap)?.id;
        let Some(configs) = self.broker_configs(broker, Some(SUPER_USERS)).await? else { return Ok(None) };
        let value = configs.into_iter().find(|entry| entry.key == SUPER_USERS).and_then(|entry| entry.value);
        Ok(value.map(|value| value.split(';').filter_map(|one| Principal::parse(one.trim()).ok()).collect()))
    }

    /// What the brokers do about whoever logged in with a credential that is gone.
    pub async fn afterlife(&self) -> Result<Afterlife, KafkaError> {
        let brokers = self.pool.brokers().into_iter().map(|broker| broker.id);
        let asked = brokers.map(|broker| self.broker_configs(broker, None));
        let (mut times, mut tokens) = (Vec::new(), false);
        for answer in join_all(asked).await {
            let configs = answer?.unwrap_or_default();
            times.push(longest_reauthentication(&configs));
            tokens |= configs.iter().any(|entry| entry.is_set && TOKEN_KEYS.contains(&entry.key.as_str()));
        }
        let times = times.into_iter().collect::<Option<Vec<_>>>();
        Ok(Afterlife { reauthentication: times.and_then(|times| times.into_iter().max()), tokens })
    }

    /// The settings of a broker: all, or one key. `None` where Kastellan may not ask.
    async fn broker_configs(
        &self,
        broker: BrokerId,
        key: Option<&'static str>,
    ) -> Result<Option<Vec<ConfigEntry>>, KafkaError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(BROKER_RESOURCE)
            .with_resource_name(StrBytes::from_string(broker.to_string()))
            .with_configuration_keys(key.map(|key| vec![StrBytes::from_static_str(key)]));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        match self.pool.read::<DescribedConfigs>(Some(broker), &request).await {
            Ok(answer) => Ok(Some(answer.entries)),
            Err(KafkaError::MissingRight { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The endpoint type of DescribeCluster that stands for brokers (KIP-919).
const BROKERS: i8 = 1;

const REAUTHENTICATION: &str = "connections.max.reauth.ms";

/// What lets a broker issue delegation tokens, by its name since Kafka 3.0 and before.
const TOKEN_KEYS: [&str; 2] = ["delegation.token.secret.key", "delegation.token.master.key"];

/// How access can outlive the credential that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Afterlife {
    /// After how long every broker ends a connection whose credential is gone, on every listener: the longest
    /// `connections.max.reauth.ms` there is (KIP-368). `None` when some listener never asks for a new login, which is the
    /// default, or the brokers do not tell.
    pub reauthentication: Option<Duration>,
    /// Whether some broker issues delegation tokens (KIP-48): who once logged in can make one, and logs in with it after the
    /// password is gone.
    pub tokens: bool,
}

/// The longest time of a broker, its default and those of single listeners and mechanisms taken together; `None` where any
/// of them is off or held back.
fn longest_reauthentication(configs: &[ConfigEntry]) -> Option<Duration> {
    let times = configs.iter().filter(|entry| entry.key.ends_with(REAUTHENTICATION));
    let times =
        times.map(|entry| entry.value.as_deref().and_then(|value| value.parse::<u64>().ok()).filter(|&ms| ms > 0));
    let times = times.collect::<Option<Vec<_>>>()?;
    times.into_iter().max().map(Duration::from_millis)
}
