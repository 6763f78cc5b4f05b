//! What ends the demonstration early.

use crate::stack::StackError;

/// A step that could not be taken, or did not do what it says.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The real Kafka, or one of its tools, did not do its part.
    #[error("the Kafka of the demo failed")]
    Kafka(#[from] StackError),
    /// A file, folder or program of the demonstration's own.
    #[error("failed to {what}")]
    Io {
        /// What was tried, e.g. "read `/tmp/x/client.properties`".
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The product is not where the build puts it.
    #[error("there is no `{program}`: build it first, or run `make demo`, which does")]
    NotBuilt {
        /// Where it was expected.
        program: String,
    },
    /// A command ended with another exit status than it should.
    #[error("`{command}` should have ended with {expected}, and ended with {actual}")]
    OtherEnd {
        /// The command as it was shown.
        command: String,
        /// Exit status it should have had.
        expected: i32,
        /// What it had, e.g. "1" or "a signal".
        actual: String,
    },
    /// A sentence with a tick would have been a lie.
    #[error("this turned out not to be true: {claim}")]
    NotTrue {
        /// The sentence.
        claim: String,
    },
    /// A program printed a password; what it printed is withheld.
    #[error("`{command}` printed a password: its output is withheld")]
    Leak {
        /// The command as it was shown.
        command: String,
    },
}

impl Failure {
    /// Wraps an error of the system: `map_err(Failure::io("read `x`"))`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
