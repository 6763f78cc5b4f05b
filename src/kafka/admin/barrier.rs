//! Waiting until a broker has finished applying what it already shows.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::super::KafkaError;
use super::super::pool::api_versions;
use super::super::wire::ApiVersions;
use super::Admin;
use crate::names::BrokerId;

/// Between two looks at a broker's image. An idle cluster writes a record every 500 ms, so that a wait is 250 ms on
/// average; a look costs a broker some 0.1 ms.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Admin {
    /// Waits until each broker has applied the metadata image that it has now, and everything before it.
    ///
    /// A broker shows a new image to Describe first and then tells its parts (SCRAM late among them), so that a login can
    /// fail although Describe shows the credential. `finalized_features_epoch` is the offset of the image: once it has
    /// risen, the earlier image has been told to all parts (`kafka.md` §3). Call it when Describe shows the credential on
    /// the brokers in question.
    ///
    /// # Errors
    /// Per broker: what kept it from answering, or [`KafkaError::ImageStandsStill`] when `within` was over.
    pub async fn barrier(&self, brokers: &[BrokerId], within: Duration) -> BTreeMap<BrokerId, Result<(), KafkaError>> {
        let waits = brokers.iter().map(|&broker| async move { (broker, self.barrier_on(broker, within).await) });
        join_all(waits).await.into_iter().collect()
    }

    async fn barrier_on(&self, broker: BrokerId, within: Duration) -> Result<(), KafkaError> {
        // What kept the broker from answering, if anything did, when the time is over.
        let mut last = KafkaError::ImageStandsStill { broker, after: within };
        let waiting = timeout(within, async {
            let mut first = None;
            loop {
                match self.pool.read::<ApiVersions>(Some(broker), &api_versions()).await {
                    Ok(answer) => match (first, answer.epoch) {
                        (Some(first), Some(now)) if now > first => return Ok(()),
                        (None, Some(now)) => first = Some(now),
                        (Some(_) | None, _) => {}
                    },
                    Err(error) if error.is_about_transport() => last = error,
                    Err(error) => return Err(error),
                }
                sleep(LOOK_EVERY).await;
            }
        });
        let settled = waiting.await;
        settled.unwrap_or(Err(last))
    }
}
