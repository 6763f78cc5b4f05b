//! Reads the Secrets that Strimzi's User Operator wrote.

use futures_util::StreamExt as _;
use futures_util::stream;

use super::connect::{self, Surroundings};
use super::take_over::Unfit;
use crate::diagnostic::Chain;
use crate::k8s::K8sError;
use crate::names::Segment;
use crate::secret::Secret;
use crate::spec::Documents;

/// The key of the password (formats.md B7).
const PASSWORD: &str = "password";

/// Reads under way at once. How many requests are is `k8s`' to bound.
const AT_ONCE: usize = 32;

/// The passwords in Secrets, each named by namespace and name, in the order given. Writes nothing.
///
/// # Errors
/// There is no Kubernetes API to ask.
pub async fn read_secret_passwords(
    documents: &Documents,
    surroundings: &Surroundings,
    context: Option<&str>,
    secrets: &[(Segment, Segment)],
) -> Result<Vec<Result<Secret, Unfit>>, Unfit> {
    let kubernetes = connect::kubernetes(documents, surroundings);
    let cluster = kubernetes.cluster(context).await.map_err(|error| unread(&error))?;
    let reads = secrets.iter().map(|(namespace, name)| {
        let cluster = &cluster;
        async move {
            let place = format!("Secret `{namespace}/{name}`");
            match cluster.read(namespace, name).await {
                Ok(Some(mut secret)) => secret
                    .data
                    .remove(PASSWORD)
                    .filter(|password| !password.is_empty())
                    .ok_or_else(|| Unfit::new(format!("{place} has no `{PASSWORD}`"))),
                Ok(None) => Err(Unfit::new(format!("there is no {place}"))
                    .hint("if the User Operator has a `secretPrefix`, name it with `--secret-prefix`")),
                Err(error) => {
                    let Unfit { why, hint } = unread(&error);
                    Err(Unfit { why: format!("{place}: {why}"), hint })
                }
            }
        }
    });
    Ok(stream::iter(reads).buffered(AT_ONCE).collect().await)
}

fn unread(error: &K8sError) -> Unfit {
    Unfit { why: Chain(error).to_string(), hint: error.hint() }
}
