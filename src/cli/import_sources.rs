//! Who is to be imported: what the resources, Secrets, lists and stores that were named tell.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use super::import_arguments::{ImportArguments, Source};
use super::{documents, output};
use crate::diagnostic::ExitStatus;
use crate::engine::{GivenPasswords, GivenPlace, Links, Surroundings, Unfit, read_given, read_secret_passwords};
use crate::names::{NameError, NamespacedName, Segment, UserName};
use crate::secret::{Secret, read_password_list};
use crate::spec::{Documents, Origin, StrimziLogin, StrimziUser, read_strimzi};

/// A list of 100,000 users has some 5 MB; a bound keeps a wrong pipe from filling memory.
const LIST_BYTES_MAX: u64 = 64 << 20;
/// Room for most lists, so that the buffer seldom grows, which would leave copies behind.
const LIST_BYTES_USUAL: usize = 1 << 20;

/// A user that somebody wants to be imported.
pub(super) struct Candidate {
    /// The identity it is to have.
    pub user: NamespacedName,
    /// Its name in Kafka.
    pub username: UserName,
    /// Where it comes from.
    pub origin: Origin,
    /// Its password, or why it cannot be imported.
    pub password: Result<Secret, Unfit>,
}

/// Reads the resources, Secrets and lists that the flags name.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) async fn read(
    arguments: &ImportArguments,
    known: &Documents,
    surroundings: &Surroundings,
) -> Result<Vec<Candidate>, ExitStatus> {
    match (arguments.from, &arguments.passwords) {
        (Source::Strimzi, _) => of_strimzi(arguments, known, surroundings).await,
        (Source::Kafka, Some(list)) => of_list(list, &arguments.namespace),
        (Source::Kafka, None) => Ok(Vec::new()),
    }
}

/// Reads the passwords that are in stores.
///
/// # Errors
/// The status to exit with; everything is said already.
pub(super) async fn of_stores(
    places: &[GivenPlace],
    namespace: &Segment,
    links: &Links,
) -> Result<Vec<Candidate>, ExitStatus> {
    let mut candidates = Vec::new();
    for place in places {
        let GivenPasswords { users, left_out } = read_given(links, place).await.map_err(|unfit| say(&unfit))?;
        left_out.iter().for_each(|why| output::note(&format!("left out: {why}")));
        for (name, password) in users {
            candidates.push(of_kafka(&name, password, namespace)?);
        }
    }
    Ok(candidates)
}

/// Refuses everybody who is named a second time.
pub(super) fn name_once(candidates: &mut [Candidate]) {
    let mut known = BTreeSet::new();
    for candidate in candidates {
        if !known.insert(candidate.user.clone()) {
            candidate.password = Err(Unfit::new("it is named twice").hint("name it once, with the right password"));
        }
    }
}

async fn of_strimzi(
    arguments: &ImportArguments,
    known: &Documents,
    surroundings: &Surroundings,
) -> Result<Vec<Candidate>, ExitStatus> {
    let users = documents::read_texts(&arguments.resources).and_then(|texts| read_strimzi(&texts));
    let users = users.map_err(|findings| {
        output::findings(&findings);
        ExitStatus::Failed
    })?;
    let prefix = &arguments.secret_prefix;
    let named = users.into_iter().map(|user| {
        let secret = user.secret.clone().ok_or(()).or_else(|()| {
            Segment::parse(format!("{prefix}{}", user.identity.name)).map_err(|error| wrong(&error.to_string()))
        })?;
        Ok((user, secret))
    });
    let named = named.collect::<Result<Vec<(StrimziUser, Segment)>, ExitStatus>>()?;
    let by_scram = named.iter().filter(|(user, _)| user.login == StrimziLogin::Scram);
    let secrets = by_scram.map(|(user, secret)| (user.identity.namespace.clone(), secret.clone())).collect::<Vec<_>>();
    let read = match secrets.is_empty() {
        true => Ok(Vec::new()),
        false => read_secret_passwords(known, surroundings, arguments.context.as_deref(), &secrets).await,
    };
    let read = read.map_err(|unfit| say(&unfit))?;
    let mut read = read.into_iter();
    let mut candidates = Vec::with_capacity(named.len());
    for (StrimziUser { identity, login, .. }, secret) in named {
        let password = match login {
            StrimziLogin::Scram => read.next().unwrap_or_else(|| Err(Unfit::new("its Secret was not read"))),
            StrimziLogin::Other(Some(other)) => {
                Err(Unfit::new(format!("it logs in by `{other}`, and has no password that could be taken over")))
            }
            StrimziLogin::Other(None) => Err(Unfit::new("somebody else authenticates it: it has no password")
                .hint("write its document by hand, with `authentication: {type: external}` and `adopt: true`")),
        };
        let username = UserName::parse(identity.name.as_str()).map_err(|error| wrong(&error.to_string()))?;
        candidates.push(Candidate { user: identity, username, origin: Origin::Strimzi { secret }, password });
    }
    Ok(candidates)
}

fn of_list(path: &Path, namespace: &Segment) -> Result<Vec<Candidate>, ExitStatus> {
    let list = read_list(path)?;
    let entries = read_password_list(&list).map_err(|error| wrong(&error.to_string()))?;
    entries.into_iter().map(|(name, password)| of_kafka(&name, Ok(password), namespace)).collect()
}

fn of_kafka(name: &str, password: Result<Secret, Unfit>, namespace: &Segment) -> Result<Candidate, ExitStatus> {
    let named = |error: NameError| wrong(&format!("{name:?} cannot be imported: {error}"));
    let user = NamespacedName { namespace: namespace.clone(), name: Segment::parse(name).map_err(named)? };
    let username = UserName::parse(name).map_err(named)?;
    Ok(Candidate { user, username, origin: Origin::Kafka, password })
}

pub(super) fn say(unfit: &Unfit) -> ExitStatus {
    output::error(&unfit.why, unfit.hint.as_ref());
    ExitStatus::Failed
}

fn wrong(message: &str) -> ExitStatus {
    output::error(message, None);
    ExitStatus::Failed
}

fn read_list(path: &Path) -> Result<Secret, ExitStatus> {
    let mut bytes = Vec::with_capacity(LIST_BYTES_USUAL);
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|file| file.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes)),
    };
    let list = Secret::new(bytes);
    match read {
        Ok(_) if list.len() as u64 > LIST_BYTES_MAX => Err(wrong("the list of passwords is too long; split it")),
        Ok(_) => Ok(list),
        Err(error) => Err(wrong(&format!("failed to read the list of passwords `{}`: {error}", path.display()))),
    }
}
