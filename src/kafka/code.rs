//! Kafka's error codes, with texts of our own: a broker's message can be a dump of Java objects and is never shown.

use kafka_protocol::ResponseError;

use crate::diagnostic::Disposition;

/// Error code of an answer, e.g. 31. 0 means success.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// Success.
    pub const NONE: Self = Self(0);
    /// An unexpected failure inside the broker: the outcome of what was asked is unknown.
    pub const UNKNOWN_SERVER_ERROR: Self = Self(-1);
    /// The broker gave up waiting, for the controller for instance.
    pub const REQUEST_TIMED_OUT: Self = Self(7);
    /// The broker lost its connection to the controller.
    pub const NETWORK_EXCEPTION: Self = Self(13);
    /// A right on the cluster is missing.
    pub const CLUSTER_AUTHORIZATION_FAILED: Self = Self(31);
    /// The listener does not have this SASL mechanism.
    pub const UNSUPPORTED_SASL_MECHANISM: Self = Self(33);
    /// A request came before the login, or out of order.
    pub const ILLEGAL_SASL_STATE: Self = Self(34);
    /// The broker does not know this version of a request.
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    /// The controller moved.
    pub const NOT_CONTROLLER: Self = Self(41);
    /// The request contradicts itself.
    pub const INVALID_REQUEST: Self = Self(42);
    /// The login was refused.
    pub const SASL_AUTHENTICATION_FAILED: Self = Self(58);
    /// What was named does not exist.
    pub const RESOURCE_NOT_FOUND: Self = Self(91);
    /// The same thing was named twice.
    pub const DUPLICATE_RESOURCE: Self = Self(92);
    /// A credential that Kafka does not accept.
    pub const UNACCEPTABLE_CREDENTIAL: Self = Self(93);

    /// Whether it means success.
    pub const fn is_success(self) -> bool {
        self.0 == 0
    }

    /// Whether the request may or may not have been executed (R1: such an answer is no answer).
    pub const fn leaves_outcome_unknown(self) -> bool {
        matches!(
            self,
            Self::UNKNOWN_SERVER_ERROR | Self::REQUEST_TIMED_OUT | Self::NETWORK_EXCEPTION | Self::NOT_CONTROLLER
        )
    }

    /// What the code means, in our words; lower case, no final period.
    pub fn text(self) -> String {
        let text = match self {
            Self::NONE => "success",
            Self::UNKNOWN_SERVER_ERROR => "the broker failed in an unexpected way",
            Self::REQUEST_TIMED_OUT => "the broker gave up waiting for the controller",
            Self::NETWORK_EXCEPTION => "the broker lost its connection to the controller",
            Self::CLUSTER_AUTHORIZATION_FAILED => "a right on the cluster is missing",
            Self::UNSUPPORTED_SASL_MECHANISM => "the listener or the cluster does not have this SASL mechanism",
            Self::ILLEGAL_SASL_STATE => "the listener does not expect this step of a login",
            Self::UNSUPPORTED_VERSION => "the broker or the cluster's metadata version is too old for this request",
            Self::NOT_CONTROLLER => "the controller moved while the request was under way",
            Self::INVALID_REQUEST => "the broker finds the request invalid",
            Self::SASL_AUTHENTICATION_FAILED => "the login was refused",
            Self::RESOURCE_NOT_FOUND => "it does not exist",
            Self::DUPLICATE_RESOURCE => "it was named twice in one request",
            Self::UNACCEPTABLE_CREDENTIAL => "the credential is not acceptable to Kafka",
            Self(54) => "the brokers have no authorizer, so there are no ACLs",
            Self(other) => return format!("the broker answered {}", Self(other)),
        };
        format!("{text} ({self})")
    }

    /// What to do about it.
    pub fn disposition(self) -> Disposition {
        match ResponseError::try_from_code(self.0) {
            None => Disposition::Retry,
            Some(_) if self.leaves_outcome_unknown() => Disposition::Retry,
            Some(error) if error.is_retriable() => Disposition::Retry,
            Some(_) => Disposition::Stall,
        }
    }
}

impl std::fmt::Display for ErrorCode {
    /// E.g. `ClusterAuthorizationFailed, 31`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match ResponseError::try_from_code(self.0) {
            None => f.write_str("success"),
            Some(ResponseError::Unknown(code)) => write!(f, "error {code}"),
            Some(error) => write!(f, "{error}, {}", self.0),
        }
    }
}

impl std::fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ErrorCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_speak_our_words() {
        assert_eq!(ErrorCode(31).text(), "a right on the cluster is missing (ClusterAuthorizationFailed, 31)");
        assert_eq!(ErrorCode(1234).text(), "the broker answered error 1234");
        assert_eq!(ErrorCode(41).disposition(), Disposition::Retry);
        assert_eq!(ErrorCode(93).disposition(), Disposition::Stall);
    }
}
