//! The secrets file: one random key per purpose.
//!
//! Made at the first start when embedded, given by the operator when distributed. Losing it loses
//! every name and address in the log; a wrong one is told apart by its check value, which stands
//! in the log's first claim.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, process};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use domain::email::{Email, EmailHash};
use domain::ids::PersonalKeyId;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::mac::{MacKey, hex};
use crate::personal_key::{KeyBytes, PersonalKey, Unopened, WrappedKey};
use crate::refresh_token::RefreshToken;

/// The version of the file that this program writes and reads.
const VERSION: u32 = 1;
/// A secrets file is some hundred bytes; anything larger is not one.
const FILE_LENGTH_MAX: u64 = 16 * 1024;

/// The secrets of one shop. Cannot be printed; wiped when dropped.
#[derive(Clone)]
pub struct Secrets {
    wrapping: KeyBytes,
    email_hash: MacKey,
    fingerprint: MacKey,
    refresh_token: MacKey,
    opaque_token: MacKey,
}

/// Why there are no secrets, in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read.
    #[error("the secrets file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("the secrets file {} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read or change the file.
    #[error(
        "the secrets file {} has mode {mode:04o}, but only its owner may read it; run `chmod 600` on it",
        path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error("{} is not a secrets file of this program: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong; never any of the content.
        reason: String,
    },
}

/// The file's text. Every key is base64url of 32 bytes.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct SecretsJson {
    version: u32,
    /// Wraps the personal keys.
    wrapping_key: String,
    /// Hashes e-mail addresses.
    email_hash_key: String,
    /// Hashes idempotency keys and the requests they stand for.
    fingerprint_key: String,
    /// Authenticates refresh tokens.
    refresh_token_key: String,
    /// Authenticates cursors and consistency tokens.
    opaque_token_key: String,
}

impl Secrets {
    /// New random secrets, in memory only.
    pub fn generate() -> Self {
        Self {
            wrapping: KeyBytes::random(),
            email_hash: MacKey::random(),
            fingerprint: MacKey::random(),
            refresh_token: MacKey::random(),
            opaque_token: MacKey::random(),
        }
    }

    /// Reads a secrets file that only its owner may read.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the file.
    pub fn open(path: &Path) -> Result<Self, SecretsError> {
        let read_error = |source| SecretsError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read_error)?;
        let metadata = file.metadata().map_err(read_error)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretsError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        let content = |reason: String| SecretsError::Content {
            path: path.to_owned(),
            reason,
        };
        if metadata.len() > FILE_LENGTH_MAX {
            return Err(content("it is too long".to_owned()));
        }
        let text = Zeroizing::new(io::read_to_string(file).map_err(read_error)?);
        Self::from_text(&text).map_err(content)
    }

    /// Makes new secrets and their file: mode 0600, whole and durable before it has its name, and
    /// never in the place of another file.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, SecretsError> {
        let secrets = Self::generate();
        write_new(path, secrets.to_text().as_bytes()).map_err(|source| SecretsError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(secrets)
    }

    /// Opens the file, or makes it where there is none.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::create`].
    pub fn open_or_create(path: &Path) -> Result<Self, SecretsError> {
        match Self::open(path) {
            Err(SecretsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path)
            }
            opened => opened,
        }
    }

    /// Tells whether two secrets files are the same without giving anything away; stands in the
    /// log's first claim and may be shown.
    pub fn check_value(&self) -> String {
        let others = [
            &self.email_hash,
            &self.fingerprint,
            &self.refresh_token,
            &self.opaque_token,
        ];
        let parts = others.map(|key| key.bytes().as_slice());
        MacKey::new(self.wrapping.0).short_tag("secrets-check", &parts)
    }

    /// The unique claim on an address: the same for every spelling that [`Email`] takes as one.
    pub fn email_hash(&self, email: &Email) -> EmailHash {
        let tag = self.email_hash.tag("email", &[email.as_str().as_bytes()]);
        EmailHash::parse(&hex(&tag)).expect("32 bytes are 64 lower-case hexadecimal digits")
    }

    /// A personal key as it is stored.
    pub fn wrap_key(&self, key: &PersonalKey) -> WrappedKey {
        key.wrap(&self.wrapping)
    }

    /// Opens a stored personal key.
    ///
    /// # Errors
    /// When it was wrapped under another name or with other secrets, or was changed.
    pub fn unwrap_key(
        &self,
        id: PersonalKeyId,
        wrapped: &WrappedKey,
    ) -> Result<PersonalKey, Unopened> {
        PersonalKey::unwrap(&self.wrapping, id, wrapped)
    }

    /// The text of a refresh token; the same token always has the same text.
    pub fn refresh_token_text(&self, token: &RefreshToken) -> String {
        token.encode(&self.refresh_token)
    }

    /// Reads the text of a refresh token; `None` unless these secrets made it.
    pub fn read_refresh_token(&self, text: &str) -> Option<RefreshToken> {
        RefreshToken::decode(&self.refresh_token, text)
    }

    /// Hashes idempotency keys and the requests they stand for.
    pub fn fingerprint_key(&self) -> &MacKey {
        &self.fingerprint
    }

    /// Authenticates cursors and consistency tokens.
    pub fn opaque_token_key(&self) -> &MacKey {
        &self.opaque_token
    }

    fn to_text(&self) -> Zeroizing<String> {
        let json = SecretsJson {
            version: VERSION,
            wrapping_key: BASE64.encode(self.wrapping.0),
            email_hash_key: BASE64.encode(self.email_hash.bytes()),
            fingerprint_key: BASE64.encode(self.fingerprint.bytes()),
            refresh_token_key: BASE64.encode(self.refresh_token.bytes()),
            opaque_token_key: BASE64.encode(self.opaque_token.bytes()),
        };
        let text = serde_json::to_string_pretty(&json).expect("a struct of texts is JSON");
        Zeroizing::new(text + "\n")
    }

    /// Reads the file's text. A refusal never repeats any of it.
    fn from_text(text: &str) -> Result<Self, String> {
        let json: SecretsJson = serde_json::from_str(text).map_err(|error| {
            format!(
                "line {}, column {} does not fit",
                error.line(),
                error.column()
            )
        })?;
        if json.version != VERSION {
            return Err(format!(
                "it has version {}, this program reads {VERSION}",
                json.version
            ));
        }
        let mac_key = |name, text| key_bytes(name, text).map(|bytes| MacKey::new(bytes.0));
        Ok(Self {
            wrapping: key_bytes("wrapping_key", &json.wrapping_key)?,
            email_hash: mac_key("email_hash_key", &json.email_hash_key)?,
            fingerprint: mac_key("fingerprint_key", &json.fingerprint_key)?,
            refresh_token: mac_key("refresh_token_key", &json.refresh_token_key)?,
            opaque_token: mac_key("opaque_token_key", &json.opaque_token_key)?,
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(redacted)")
    }
}

fn key_bytes(name: &str, text: &str) -> Result<KeyBytes, String> {
    let wrong = || format!("{name} is not base64url of 32 bytes");
    let bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| wrong())?);
    Ok(KeyBytes(bytes.as_slice().try_into().map_err(|_| wrong())?))
}

/// Writes beside the place, syncs, and links into place: a crash leaves no half file under the
/// name, and a link, unlike a rename, never replaces what is there.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    let draft = folder.join(format!(".{name}.{}.new", process::id()));
    let written = write_durably(&draft, content).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    written?;
    removed?;
    File::open(folder)?.sync_all()
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::Field;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn the_file_is_made_once_for_its_owner_only_and_read_again() {
        let folder = folder();
        let path = folder.path().join("secrets.json");
        let made = Secrets::open_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let read = Secrets::open_or_create(&path).unwrap();
        assert_eq!(made.check_value(), read.check_value());
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "the draft is gone");
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let folder = folder();
        let path = folder.path().join("secrets.json");
        fs::write(&path, "somebody's").unwrap();
        let error = Secrets::create(&path).unwrap_err();
        assert!(matches!(error, SecretsError::Write { .. }));
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_one_sentence() {
        let folder = folder();
        let path = folder.path().join("secrets.json");
        Secrets::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Secrets::open(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0640"), "{error}");
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_of_something_else_is_refused_without_showing_it() {
        let folder = folder();
        let path = folder.path().join("secrets.json");
        Secrets::create(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let newer = good.replace("\"version\": 1", "\"version\": 2");
        let short = good.replace("\"wrapping_key\": \"", "\"wrapping_key\": \"HUNTER");
        for bad in [
            "",
            "HUNTER2",
            "{}",
            &newer,
            &short,
            &good.replace("{", "{\"HUNTER\": 1,"),
        ] {
            fs::write(&path, bad).unwrap();
            let error = Secrets::open(&path).unwrap_err();
            assert!(matches!(error, SecretsError::Content { .. }), "{bad:?}");
            assert!(!error.to_string().contains("HUNTER"), "{error}");
        }
        fs::write(&path, vec![b' '; 20_000]).unwrap();
        assert!(matches!(
            Secrets::open(&path),
            Err(SecretsError::Content { .. })
        ));
        fs::write(&path, [0xFF, 0xFE]).unwrap();
        assert!(matches!(
            Secrets::open(&path),
            Err(SecretsError::Read { .. })
        ));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Secrets::open(Path::new("nowhere/secrets.json"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the secrets file nowhere/secrets.json cannot be read"
        );
    }

    #[test]
    fn another_file_has_another_check_value_and_opens_nothing() {
        let (ours, theirs) = (Secrets::generate(), Secrets::generate());
        assert_ne!(ours.check_value(), theirs.check_value());
        let key = PersonalKey::generate();
        let wrapped = ours.wrap_key(&key);
        assert!(theirs.unwrap_key(key.id(), &wrapped).is_err());
        let sealed = key.seal(Field::Name, "Kim");
        let opened = ours.unwrap_key(key.id(), &wrapped).unwrap();
        assert_eq!(opened.open(Field::Name, &sealed).as_deref(), Ok("Kim"));
    }

    #[test]
    fn every_single_key_counts_for_the_check_value() {
        let ours = Secrets::generate();
        let check = |change: fn(&mut Secrets)| {
            let mut other = ours.clone();
            change(&mut other);
            other.check_value()
        };
        let changes: [fn(&mut Secrets); 5] = [
            |secrets| secrets.wrapping = KeyBytes::random(),
            |secrets| secrets.email_hash = MacKey::random(),
            |secrets| secrets.fingerprint = MacKey::random(),
            |secrets| secrets.refresh_token = MacKey::random(),
            |secrets| secrets.opaque_token = MacKey::random(),
        ];
        for change in changes {
            assert_ne!(check(change), ours.check_value());
        }
    }

    #[test]
    fn one_person_has_one_email_hash() {
        let secrets = Secrets::generate();
        let hash = |text| secrets.email_hash(&Email::parse(text).unwrap());
        assert_eq!(hash("Kim@Shop.example"), hash("kim@shop.EXAMPLE"));
        assert_ne!(hash("kim@shop.example"), hash("kin@shop.example"));
    }

    #[test]
    fn secrets_cannot_be_printed() {
        assert_eq!(format!("{:?}", Secrets::generate()), "Secrets(redacted)");
    }
}
