//! Kastellan's own client as an application: it has no requests for records, so each turn is a login by SCRAM and the
//! question who the brokers are, on a connection of its own.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::join_all;
use kastellan::kafka::{Admin, Authentication, Deadlines, Endpoint, HostPort, KafkaError};
use kastellan::names::{Mechanism, UserName};
use kastellan::secret::Secret;

use super::{Cue, Loaded, Role};
use crate::stack::StackError;

/// Between two logins of one application.
const PAUSE: Duration = Duration::from_millis(500);

/// One thread for all of them.
pub(super) fn start(roles: Vec<Arc<Role>>, cue: Arc<Cue>) -> Result<JoinHandle<()>, StackError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| StackError::Io { what: "start a runtime".into(), source })?;
    let run = move || {
        runtime.block_on(async {
            join_all(roles.iter().enumerate().map(|(turn, role)| perform(role, turn, &cue))).await;
        });
    };
    std::thread::Builder::new().spawn(run).map_err(|source| StackError::Io { what: "start a thread".into(), source })
}

async fn perform(role: &Role, mut turn: usize, cue: &Cue) {
    let tally = &role.application.tally;
    let mut loaded = Loaded::at_start(role);
    while cue.is_running() {
        loaded.refresh(role);
        turn += 1;
        match connect(loaded.held.text(), turn).await {
            Ok(()) => tally.note_logins(1),
            Err(error @ KafkaError::LoginRefused { .. }) => loaded.held.note_refusal(&error.to_string()),
            // A broker that is away.
            Err(_) => {}
        }
        loaded.held.note_end();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Logs in on the broker whose turn it is, or the next one that is there, and asks it for the brokers.
async fn connect(properties: &str, turn: usize) -> Result<(), KafkaError> {
    let mut bootstrap = HostPort::parse_list(value(properties, "bootstrap.servers=")).expect("a list of servers");
    let first = turn % bootstrap.len();
    bootstrap.rotate_left(first);
    let mechanism = value(properties, "sasl.mechanism=").parse::<Mechanism>().expect("a mechanism");
    let username = UserName::parse(quoted(properties, "username=\"")).expect("a user name");
    let password = Arc::new(Secret::from_text(quoted(properties, "password=\"").to_owned()));
    let authentication = Authentication::Scram { mechanism, username, password };
    let endpoint = Endpoint { bootstrap, tls: None, authentication, client_id: "application".into() };
    Admin::connect(endpoint, Deadlines::default()).await.map(drop)
}

/// The rest of the line that begins with `key`.
fn value<'t>(properties: &'t str, key: &str) -> &'t str {
    properties.lines().find_map(|line| line.strip_prefix(key)).expect("delivered files have every key")
}

/// The text between `before` and the next quotation mark: names and passwords here need no escapes.
fn quoted<'t>(properties: &'t str, before: &str) -> &'t str {
    let (_, rest) = properties.split_once(before).expect("a properties file holds JAAS text");
    rest.split_once('"').expect("a quote ends it").0
}
