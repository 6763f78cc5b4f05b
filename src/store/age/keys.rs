//! The identity that opens a store and the recipients it is sealed to.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ::age::armor::{ArmoredReader, ArmoredWriter, Format};
use ::age::secrecy::ExposeSecret as _;
use ::age::x25519::{Identity, Recipient};
use ::age::{DecryptError, Decryptor, Encryptor};
use zeroize::Zeroizing;

use super::AgeSettings;
use super::durable::{Placement, Placing, place_one};
use crate::diagnostic::Finding;
use crate::store::{Created, StoreError};

/// Identity files hold a few lines; a larger one is something else.
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;

/// What armor, header and tag add to a file for one recipient, rounded up, so that buffers need not grow.
const SEALED_BYTES_EXTRA: usize = 1024;

/// Identities and recipients of one store.
pub struct Keys {
    identity_file: PathBuf,
    identities: Vec<Identity>,
    recipients: Vec<Recipient>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.identity_file.display())
    }
}

impl Keys {
    /// Reads the identity file and the recipients, with warnings about how the file is kept.
    pub fn load(settings: &AgeSettings) -> Result<(Self, Vec<Finding>), StoreError> {
        let identity_file = settings.identity_file.clone();
        let (identities, warnings) = read_identities(&identity_file)?;
        let own: Vec<Recipient> = identities.iter().map(Identity::to_public).collect();
        let recipients = settings
            .recipients
            .iter()
            .map(|text| text.parse().map_err(|_| StoreError::Recipient { recipient: text.clone() }))
            .collect::<Result<Vec<Recipient>, _>>()?;
        if recipients.is_empty() {
            return Ok((Self { identity_file, identities, recipients: own }, warnings));
        }
        let is_own = |recipient: &Recipient| own.iter().any(|own| own.to_string() == recipient.to_string());
        if !recipients.iter().any(is_own) {
            return Err(StoreError::IdentityNotRecipient { identity: identity_file, store: settings.name.clone() });
        }
        Ok((Self { identity_file, identities, recipients }, warnings))
    }

    /// Encrypts to every recipient: an armored age file.
    pub fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let recipients = self.recipients.iter().map(|recipient| recipient as &dyn ::age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients).expect("there is at least one X25519 recipient");
        let mut sealed = Vec::with_capacity(plaintext.len() * 3 / 2 + SEALED_BYTES_EXTRA);
        let write = || -> io::Result<()> {
            let armor = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor)?;
            let mut writer = encryptor.wrap_output(armor)?;
            writer.write_all(plaintext)?;
            writer.finish()?.finish()?;
            Ok(())
        };
        write().expect("a Vec takes every byte");
        sealed
    }

    /// Decrypts an age file, armored or not. `place` is only for messages.
    pub fn open(&self, place: &Path, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let damaged = |why: &str| StoreError::damaged(place.display(), why);
        let refused = |error| match error {
            DecryptError::NoMatchingKeys => {
                StoreError::IdentityWrong { identity: self.identity_file.clone(), place: place.display().to_string() }
            }
            DecryptError::InvalidHeader | DecryptError::UnknownFormat | DecryptError::Io(_) => {
                damaged("it is not a whole age file")
            }
            // A foreign enum: everything else says that the bytes were altered.
            _ => damaged("its contents were altered"),
        };
        let decryptor = Decryptor::new_buffered(ArmoredReader::new(sealed)).map_err(refused)?;
        let identities = self.identities.iter().map(|identity| identity as &dyn ::age::Identity);
        let mut reader = decryptor.decrypt(identities).map_err(refused)?;
        // The plaintext is shorter than its age file, so the buffer never grows and leaves no copy behind.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(sealed.len()));
        reader.read_to_end(&mut plaintext).map_err(|_| damaged("it is not a whole age file, or was altered"))?;
        Ok(plaintext)
    }
}

/// The identities of a file as `age-keygen` writes it: one a line, `#` begins a comment.
fn read_identities(path: &Path) -> Result<(Vec<Identity>, Vec<Finding>), StoreError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => StoreError::IdentityMissing { identity: path.to_owned() },
        _ => StoreError::io("read identity", path, source),
    };
    let malformed = |line| StoreError::IdentityMalformed { identity: path.to_owned(), line };
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(IDENTITY_BYTES_MAX as usize + 1));
    file.take(IDENTITY_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed(1))?;
    let mut identities = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            identities.push(line.parse().map_err(|_| malformed(index + 1))?);
        }
    }
    if identities.is_empty() {
        return Err(malformed(text.lines().count() + 1));
    }
    let warnings = warn_of_permissions(path, metadata.permissions().mode()).into_iter().collect();
    Ok((identities, warnings))
}

fn warn_of_permissions(path: &Path, mode: u32) -> Option<Finding> {
    (mode & 0o077 != 0).then(|| {
        let path = path.display();
        Finding::warning("identity-permissions", format!("identity file `{path}` is open to other users"))
            .hint(format!("run `chmod 600 {path}`"))
    })
}

/// Makes an identity file (mode 0600) that also `age` can use; never overwrites one.
pub fn create_identity(path: &Path) -> Result<(), StoreError> {
    let identity = Identity::generate();
    let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let mut text = Zeroizing::new(Vec::with_capacity(SEALED_BYTES_EXTRA));
    let secret = identity.to_string();
    writeln!(text, "# created: {created}\n# public key: {}\n{}", identity.to_public(), secret.expose_secret())
        .expect("a Vec takes every byte");
    let placement = Placement { target: path.to_owned(), bytes: text, placing: Placing::CreateOnly };
    match place_one(placement)? {
        Created::New => Ok(()),
        Created::AlreadyThere => Err(StoreError::IdentityExists { identity: path.to_owned() }),
    }
}

/// The first public key of an identity file.
pub fn recipient_of(path: &Path) -> Result<String, StoreError> {
    let (identities, _) = read_identities(path)?;
    Ok(identities[0].to_public().to_string())
}
