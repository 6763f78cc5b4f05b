//! Quotas of a user: the entity `user=<name>` alone, without client id (KIP-546).

/// The quotas that are set for one user; `None` means not set. Keys on the wire are those of [`UserQuotas::KEYS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserQuotas {
    /// `producer_byte_rate`, bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer_byte_rate: Option<f64>,
    /// `consumer_byte_rate`, bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_byte_rate: Option<f64>,
    /// `request_percentage`, percent of one request handler thread's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_percentage: Option<f64>,
    /// `controller_mutation_rate`, partition changes per second (KIP-599).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_mutation_rate: Option<f64>,
}

impl UserQuotas {
    /// The keys on the wire, in the order of [`UserQuotas::values`].
    pub const KEYS: [&'static str; 4] =
        ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];

    /// The values in the order of [`UserQuotas::KEYS`].
    pub const fn values(&self) -> [Option<f64>; 4] {
        [self.producer_byte_rate, self.consumer_byte_rate, self.request_percentage, self.controller_mutation_rate]
    }

    /// The quotas of values in the order of [`UserQuotas::KEYS`].
    pub const fn from_values(values: [Option<f64>; 4]) -> Self {
        let [producer_byte_rate, consumer_byte_rate, request_percentage, controller_mutation_rate] = values;
        Self { producer_byte_rate, consumer_byte_rate, request_percentage, controller_mutation_rate }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.values().iter().all(Option::is_none)
    }
}
