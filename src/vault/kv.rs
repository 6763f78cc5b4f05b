//! KV version 2: reads, compare-and-set writes, lists, metadata.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustify::Endpoint;
use rustify::enums::RequestMethod;
use serde::Deserialize;
use serde_json::value::RawValue;
use vaultrs::api::kv2::requests::{
    DestroySecretVersionsRequest, ListSecretsRequest, ReadConfigurationRequest, ReadSecretMetadataRequest,
    ReadSecretRequest, SetSecretMetadataRequest,
};
use zeroize::Zeroizing;

use super::calls::{Answered, Calls, Plain, says};
use super::tokens::{Recourse, Tokens};
use super::transport::{Answer, Transport};
use super::{Action, KvPath, VaultError, VaultSettings};

/// What Vault says where a compare-and-set fails, with status 400.
const CAS_MISMATCH: &str = "check-and-set parameter did not match the current version";

/// A standby that lags catches up in milliseconds, or has lost its leader.
const LAG_ATTEMPTS: u32 = 20;
/// Between those.
const LAG_PAUSE: Duration = Duration::from_millis(100);

/// One KV version 2 mount, with the token of this process.
pub struct Vault {
    calls: Calls,
    tokens: Tokens,
    mount: String,
    /// Versions that we wrote: an older answer comes from a server that lags behind.
    floors: Mutex<BTreeMap<String, u64>>,
}

/// What is at a key.
pub enum Read {
    /// There never was anything, or it was removed with all that is known of it.
    Absent,
    /// The newest version was deleted or destroyed.
    Gone {
        /// Its number, which a compare-and-set has to name.
        version: u64,
        /// Whether it can never come back.
        is_destroyed: bool,
    },
    /// A document.
    Found(Stored),
}

/// A document as it is stored.
pub struct Stored {
    /// Counts the writes of the key, from 1.
    pub version: u64,
    /// When Vault will delete it by itself; `None`: never.
    pub expires: Option<String>,
    /// Its JSON. Integers beyond 2^53 do not survive Vault: only texts do.
    pub json: Zeroizing<Vec<u8>>,
}

/// Settings of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySettings {
    /// How many versions Vault keeps.
    pub max_versions: u64,
}

/// What is known of a key without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Number of the newest version; 0: nothing was ever written.
    pub version: u64,
    /// Whether that version was deleted, and can come back.
    pub is_deleted: bool,
    /// Whether that version was destroyed.
    pub is_destroyed: bool,
    /// How many versions are kept; 0: as the mount says.
    pub max_versions: u64,
    /// After what time Vault deletes versions by itself; `None`: as the mount says.
    pub delete_version_after: Option<String>,
}

/// Settings of the whole mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSettings {
    /// How many versions are kept of keys that say nothing else; 0: ten.
    pub max_versions: u64,
    /// After what time Vault deletes versions by itself; `None`: never.
    pub delete_version_after: Option<String>,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct SecretData<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    metadata: VersionData,
}

#[derive(Deserialize)]
struct VersionData {
    version: u64,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

#[derive(Deserialize)]
struct KeyData {
    current_version: u64,
    #[serde(default)]
    max_versions: u64,
    #[serde(default)]
    delete_version_after: String,
    #[serde(default)]
    versions: BTreeMap<String, ListedVersion>,
}

#[derive(Deserialize)]
struct ListedVersion {
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

#[derive(Deserialize)]
struct MountData {
    #[serde(default)]
    max_versions: u64,
    #[serde(default)]
    delete_version_after: String,
}

#[derive(Deserialize)]
struct ListData {
    keys: Vec<String>,
}

impl Vault {
    /// Prepares a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`VaultError::Settings`], and [`VaultError::File`] for the file of the authorities.
    pub fn new(settings: VaultSettings) -> Result<Self, VaultError> {
        Ok(Self {
            calls: Calls::new(Transport::new(&settings)?),
            mount: KvPath::of(&settings.mount).as_str().to_owned(),
            tokens: Tokens::new(settings.login),
            floors: Mutex::default(),
        })
    }

    /// Logs in, so that what is wrong with the login is said before anything else is tried.
    pub async fn log_in(&self) -> Result<(), VaultError> {
        self.tokens.current(&self.calls).await.map(drop)
    }

    /// Revokes the token, if it was made by a login of this process. Whoever asks for something afterwards logs in again.
    pub async fn log_out(&self) {
        self.tokens.revoke(&self.calls).await;
    }

    /// How many requests were sent so far, by their kind: `read`, `look` (without opening), `list`, `write`, `setUp` (settings
    /// of a key), `destroy` and `token`.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.calls.requests()
    }

    /// The document at a key.
    ///
    /// # Guarantees
    /// It is not older than what this client wrote there.
    pub async fn read(&self, path: &KvPath) -> Result<Read, VaultError> {
        let floor = self.floor(path);
        for _ in 0..LAG_ATTEMPTS {
            let read = self.read_once(path).await?;
            if read.version() >= floor {
                return Ok(read);
            }
            tokio::time::sleep(LAG_PAUSE).await;
        }
        let read = self.read_once(path).await?;
        if read.version() >= floor {
            return Ok(read);
        }
        Err(VaultError::Lagging { path: path.to_string(), found: read.version(), written: floor })
    }

    async fn read_once(&self, path: &KvPath) -> Result<Read, VaultError> {
        let request = ReadSecretRequest { mount: self.mount.clone(), path: path.as_str().to_owned(), version: None };
        let Answered { answer, .. } = self.ask(&request, Action::Read).await?;
        match answer.status {
            200 | 404 => {}
            status => return Err(rejected(&request, Action::Read, status)),
        }
        let decoded: Result<Data<SecretData<'_>>, _> = serde_json::from_slice(&answer.body);
        match decoded {
            Ok(Data { data: SecretData { data: Some(json), metadata } }) if answer.status == 200 => {
                let json = Zeroizing::new(json.get().as_bytes().to_vec());
                let expires = Some(metadata.deletion_time).filter(|time| !time.is_empty());
                Ok(Read::Found(Stored { version: metadata.version, expires, json }))
            }
            Ok(Data { data: SecretData { metadata, .. } }) => {
                Ok(Read::Gone { version: metadata.version, is_destroyed: metadata.destroyed })
            }
            Err(_) if answer.status == 404 => self.absence(&request, Action::Read, &answer).map(|()| Read::Absent),
            Err(_) => Err(malformed(&request, Action::Read)),
        }
    }

    /// Writes a document if the key has the version `cas`; 0: nothing was ever written. Answers with its new version.
    ///
    /// # Errors
    /// [`VaultError::Conflict`]: it has another version. One that our own earlier attempt made is none.
    pub async fn write(&self, path: &KvPath, json: &[u8], cas: u64) -> Result<u64, VaultError> {
        let request = Plain {
            method: RequestMethod::POST,
            path: format!("{}/data/{path}", self.mount),
            body: Some(envelope(json, cas)),
        };
        let Answered { answer, ambiguous } = self.ask(&request, Action::Write).await?;
        let version = match answer.status {
            200 => {
                let Data { data: VersionData { version, .. } } = decode(&answer, &request, Action::Write)?;
                version
            }
            400 if says(&answer, CAS_MISMATCH) => {
                let conflict = VaultError::Conflict { path: path.to_string() };
                if !ambiguous {
                    return Err(conflict);
                }
                match self.read_once(path).await? {
                    Read::Found(found) if found.version == cas + 1 && is_same(&found.json, json) => found.version,
                    Read::Found(_) | Read::Gone { .. } | Read::Absent => return Err(conflict),
                }
            }
            404 => {
                return self.absence(&request, Action::Write, &answer).and(Err(rejected(&request, Action::Write, 404)));
            }
            status => return Err(rejected(&request, Action::Write, status)),
        };
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        let floor = floors.entry(path.as_str().to_owned()).or_default();
        *floor = version.max(*floor);
        Ok(version)
    }

    /// What lies in a folder: keys, and folders with a slash behind; empty where there is no such folder.
    pub async fn list(&self, folder: &KvPath) -> Result<Vec<String>, VaultError> {
        let request = ListSecretsRequest { mount: self.mount.clone(), path: format!("{folder}/") };
        let Answered { answer, .. } = self.ask(&request, Action::List).await?;
        match answer.status {
            200 => decode(&answer, &request, Action::List).map(|Data { data: ListData { keys } }| keys),
            404 => self.absence(&request, Action::List, &answer).map(|()| Vec::new()),
            status => Err(rejected(&request, Action::List, status)),
        }
    }

    /// What is known of a key without opening it; `None`: nothing.
    pub async fn look_at(&self, path: &KvPath) -> Result<Option<Keys>, VaultError> {
        let request = ReadSecretMetadataRequest { mount: self.mount.clone(), path: path.as_str().to_owned() };
        let Answered { answer, .. } = self.ask(&request, Action::LookAt).await?;
        match answer.status {
            200 => {}
            404 => return self.absence(&request, Action::LookAt, &answer).map(|()| None),
            status => return Err(rejected(&request, Action::LookAt, status)),
        }
        let Data { data } = decode(&answer, &request, Action::LookAt)?;
        let KeyData { current_version, max_versions, delete_version_after, versions } = data;
        let newest = versions.get(&current_version.to_string());
        Ok(Some(Keys {
            version: current_version,
            is_deleted: newest.is_some_and(|newest| is_past(&newest.deletion_time)),
            is_destroyed: newest.is_some_and(|newest| newest.destroyed),
            max_versions,
            delete_version_after: some_time(delete_version_after),
        }))
    }

    /// Makes compare-and-set a must for a key, and sets how many versions are kept.
    pub async fn set_up(&self, path: &KvPath, settings: KeySettings) -> Result<(), VaultError> {
        let request = SetSecretMetadataRequest {
            mount: self.mount.clone(),
            path: path.as_str().to_owned(),
            max_versions: Some(settings.max_versions),
            cas_required: Some(true),
            ..SetSecretMetadataRequest::default()
        };
        self.expect_done(&request, Action::SetUp).await
    }

    /// Destroys a version for good. What is not there cannot be destroyed, and is none the worse.
    pub async fn destroy(&self, path: &KvPath, version: u64) -> Result<(), VaultError> {
        let request = DestroySecretVersionsRequest {
            mount: self.mount.clone(),
            path: path.as_str().to_owned(),
            versions: vec![version],
        };
        self.expect_done(&request, Action::Destroy).await
    }

    /// The settings of the mount.
    ///
    /// # Errors
    /// [`VaultError::NoMount`]: there is no KV version 2 engine.
    pub async fn mount_settings(&self) -> Result<MountSettings, VaultError> {
        let request = ReadConfigurationRequest { mount: self.mount.clone() };
        let Answered { answer, .. } = self.ask(&request, Action::Read).await?;
        match answer.status {
            200 => {}
            400 | 404 | 405 => return Err(self.no_mount()),
            status => return Err(rejected(&request, Action::Read, status)),
        }
        let Data { data: MountData { max_versions, delete_version_after } } = decode(&answer, &request, Action::Read)?;
        Ok(MountSettings { max_versions, delete_version_after: some_time(delete_version_after) })
    }

    async fn expect_done(&self, request: &impl Endpoint, action: Action) -> Result<(), VaultError> {
        let Answered { answer, .. } = self.ask(request, action).await?;
        match answer.status {
            200 | 204 => Ok(()),
            status => Err(rejected(request, action, status)),
        }
    }

    /// Sends a request with the token of this process, and once more with a new one where the token was dead.
    async fn ask(&self, request: &impl Endpoint, action: Action) -> Result<Answered, VaultError> {
        let mut token = self.tokens.current(&self.calls).await?;
        let mut answered = self.calls.call(request, Some(&token.header), action).await?;
        if answered.answer.status == 403 && self.tokens.after_refusal(&self.calls, &token).await? == Recourse::TryAgain
        {
            token = self.tokens.current(&self.calls).await?;
            answered = self.calls.call(request, Some(&token.header), action).await?;
        }
        if answered.answer.status == 403 {
            return Err(VaultError::Denied { action, path: request.path() });
        }
        Ok(answered)
    }

    /// Tells a key that is not there from a mount that is not there; both are 404.
    fn absence(&self, request: &impl Endpoint, action: Action, answer: &Answer) -> Result<(), VaultError> {
        #[derive(Deserialize)]
        struct Nothing {
            errors: Vec<String>,
        }
        match serde_json::from_slice::<Nothing>(&answer.body) {
            Ok(Nothing { errors }) if errors.is_empty() => Ok(()),
            Ok(_) => Err(self.no_mount()),
            Err(_) => Err(malformed(request, action)),
        }
    }

    fn no_mount(&self) -> VaultError {
        VaultError::NoMount { mount: self.mount.clone() }
    }

    fn floor(&self, path: &KvPath) -> u64 {
        let floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        floors.get(path.as_str()).copied().unwrap_or_default()
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} at {})", self.mount, self.calls.transport.address)
    }
}

impl Read {
    /// The newest version; 0: there is none.
    fn version(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Gone { version, .. } => *version,
            Self::Found(stored) => stored.version,
        }
    }
}

/// The body of a write: `json` in the place that the API has for it.
fn envelope(json: &[u8], cas: u64) -> Zeroizing<Vec<u8>> {
    let head = format!("{{\"options\":{{\"cas\":{cas}}},\"data\":");
    let mut body = Zeroizing::new(Vec::with_capacity(head.len() + json.len() + 1));
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(json);
    body.push(b'}');
    body
}

/// Whether two documents of texts say the same; Vault sorts and escapes in its own way.
fn is_same(found: &[u8], written: &[u8]) -> bool {
    let fields = |json| serde_json::from_slice::<BTreeMap<String, Zeroizing<String>>>(json);
    matches!((fields(found), fields(written)), (Ok(found), Ok(written)) if found == written)
}

/// Whether a time that Vault tells has come; an empty one never does.
fn is_past(time: &str) -> bool {
    !time.is_empty() && time.parse().is_ok_and(|time: jiff::Timestamp| time <= crate::host::now().wall)
}

/// A duration as Vault tells it, e.g. `720h0m0s`; `None` for one without a digit that counts, which means never.
fn some_time(text: String) -> Option<String> {
    Some(text).filter(|text| text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)))
}

fn decode<'a, T: Deserialize<'a>>(
    answer: &'a Answer,
    request: &impl Endpoint,
    action: Action,
) -> Result<T, VaultError> {
    serde_json::from_slice(&answer.body).map_err(|_| malformed(request, action))
}

fn malformed(request: &impl Endpoint, action: Action) -> VaultError {
    VaultError::Malformed { action, path: request.path(), why: "it is not what the API describes" }
}

fn rejected(request: &impl Endpoint, action: Action, status: u16) -> VaultError {
    VaultError::Rejected { action, path: request.path(), status }
}
