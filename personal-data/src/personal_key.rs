//! One key per user, and what is sealed with it.
//!
//! The key is random and has a random name, so that a record tells nothing but that name; it is
//! kept wrapped, outside the topics of record. Erasing a user is forgetting the key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use domain::Invalid;
use domain::ids::PersonalKeyId;
use domain::text::Sealed;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// XChaCha20's nonce: long enough to be drawn at random for ever.
const NONCE_LENGTH: usize = 24;

/// What a sealed value is. A value sealed as one field does not open as another, so that nobody
/// who can write to the log can show a password hash as a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// An e-mail address.
    Email,
    /// A person's name.
    Name,
    /// A password hash.
    PasswordHash,
}

impl Field {
    /// The name that is authenticated with the value. Never change one: nothing sealed under it
    /// would open again.
    fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Name => "name",
            Self::PasswordHash => "password-hash",
        }
    }
}

/// The key of one user's personal data. Cannot be printed; wiped when dropped.
#[derive(Clone)]
pub struct PersonalKey {
    id: PersonalKeyId,
    bytes: KeyBytes,
}

/// 32 secret bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct KeyBytes(pub(crate) [u8; 32]);

impl KeyBytes {
    pub(crate) fn random() -> Self {
        let mut bytes = Self([0; 32]);
        rand::rng().fill_bytes(&mut bytes.0);
        bytes
    }
}

/// 32 random bytes for a key of another kind; wiped when dropped.
pub fn random_bytes() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(KeyBytes::random().0)
}

/// A personal key as it is stored: sealed with the wrapping key of the secrets file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WrappedKey(Sealed);

/// A sealed value that does not open: it was changed, belongs to another user or field, or the
/// secrets file is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open with this key")]
pub struct Unopened;

impl PersonalKey {
    /// A new key with a random name. It must be durable before a record names it.
    pub fn generate() -> Self {
        Self {
            id: PersonalKeyId(Uuid::new_v4()),
            bytes: KeyBytes::random(),
        }
    }

    /// Its name.
    pub fn id(&self) -> PersonalKeyId {
        self.id
    }

    /// Seals a value of this user.
    pub fn seal(&self, field: Field, plain: &str) -> Sealed {
        seal(
            &self.bytes,
            &authenticated(self.id, field.as_str()),
            plain.as_bytes(),
        )
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// When it was sealed with another key, as another field, or was changed.
    pub fn open(&self, field: Field, sealed: &Sealed) -> Result<String, Unopened> {
        let plain = open(&self.bytes, &authenticated(self.id, field.as_str()), sealed)?;
        String::from_utf8(plain).map_err(|_| Unopened)
    }

    /// The key sealed with the wrapping key.
    pub(crate) fn wrap(&self, wrapping_key: &KeyBytes) -> WrappedKey {
        WrappedKey(seal(
            wrapping_key,
            &authenticated(self.id, "personal-key"),
            &self.bytes.0,
        ))
    }

    /// Opens a stored key.
    pub(crate) fn unwrap(
        wrapping_key: &KeyBytes,
        id: PersonalKeyId,
        wrapped: &WrappedKey,
    ) -> Result<Self, Unopened> {
        let mut plain = open(wrapping_key, &authenticated(id, "personal-key"), &wrapped.0)?;
        let bytes = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| Unopened);
        plain.zeroize();
        Ok(Self {
            id,
            bytes: KeyBytes(bytes?),
        })
    }
}

impl fmt::Debug for PersonalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonalKey({}, redacted)", self.id)
    }
}

impl WrappedKey {
    /// # Errors
    /// When it is empty or not plain base64.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Sealed::parse(text).map(Self)
    }

    /// The base64 text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for WrappedKey {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<WrappedKey> for String {
    fn from(key: WrappedKey) -> Self {
        key.0.as_str().to_owned()
    }
}

/// What is authenticated with a value but not stored in it: whose it is and what it is.
fn authenticated(id: PersonalKeyId, what: &str) -> Vec<u8> {
    [id.0.as_bytes(), what.as_bytes()].concat()
}

fn seal(key: &KeyBytes, authenticated: &[u8], plain: &[u8]) -> Sealed {
    let mut nonce = [0; NONCE_LENGTH];
    rand::rng().fill_bytes(&mut nonce);
    let payload = Payload {
        msg: plain,
        aad: authenticated,
    };
    let cipher = XChaCha20Poly1305::new(&key.0.into());
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), payload)
        .expect("a value in memory is shorter than the cipher's 256 GiB");
    Sealed::parse(&BASE64.encode([nonce.as_slice(), &sealed].concat()))
        .expect("a nonce is never empty, and this is base64")
}

fn open(key: &KeyBytes, authenticated: &[u8], sealed: &Sealed) -> Result<Vec<u8>, Unopened> {
    let bytes = BASE64.decode(sealed.as_str()).map_err(|_| Unopened)?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LENGTH>().ok_or(Unopened)?;
    let payload = Payload {
        msg: sealed,
        aad: authenticated,
    };
    let cipher = XChaCha20Poly1305::new(&key.0.into());
    cipher
        .decrypt(&XNonce::from(*nonce), payload)
        .map_err(|_| Unopened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_under_the_same_field_only() {
        let key = PersonalKey::generate();
        let sealed = key.seal(Field::Name, "Kim Ümlaut");
        assert_eq!(key.open(Field::Name, &sealed).as_deref(), Ok("Kim Ümlaut"));
        assert_eq!(key.open(Field::Email, &sealed), Err(Unopened));
        assert_eq!(key.open(Field::PasswordHash, &sealed), Err(Unopened));
    }

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_bytes() {
        let key = PersonalKey::generate();
        assert_ne!(key.seal(Field::Name, "Kim"), key.seal(Field::Name, "Kim"));
    }

    #[test]
    fn another_users_key_opens_nothing() {
        let sealed = PersonalKey::generate().seal(Field::Name, "Kim");
        assert_eq!(
            PersonalKey::generate().open(Field::Name, &sealed),
            Err(Unopened)
        );
    }

    #[test]
    fn no_byte_of_a_sealed_value_can_be_changed() {
        let key = PersonalKey::generate();
        let bytes = BASE64
            .decode(key.seal(Field::Name, "Kim").as_str())
            .unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = Sealed::parse(&BASE64.encode(&changed)).unwrap();
            assert_eq!(key.open(Field::Name, &changed), Err(Unopened), "byte {at}");
        }
        for length in [1, 10, NONCE_LENGTH, bytes.len() - 1] {
            let cut = Sealed::parse(&BASE64.encode(&bytes[..length])).unwrap();
            assert_eq!(key.open(Field::Name, &cut), Err(Unopened), "{length} bytes");
        }
        assert_eq!(
            key.open(Field::Name, &Sealed::parse("====").unwrap()),
            Err(Unopened)
        );
    }

    #[test]
    fn a_wrapped_key_opens_under_its_own_name_only() {
        let (wrapping, key) = (KeyBytes::random(), PersonalKey::generate());
        let wrapped = key.wrap(&wrapping);
        let sealed = key.seal(Field::Email, "kim@shop.example");
        let opened = PersonalKey::unwrap(&wrapping, key.id(), &wrapped).unwrap();
        assert_eq!(
            opened.open(Field::Email, &sealed).as_deref(),
            Ok("kim@shop.example")
        );
        let other_name = PersonalKeyId(Uuid::new_v4());
        assert!(PersonalKey::unwrap(&wrapping, other_name, &wrapped).is_err());
        assert!(PersonalKey::unwrap(&KeyBytes::random(), key.id(), &wrapped).is_err());
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let key = PersonalKey {
            id: PersonalKeyId(Uuid::nil()),
            bytes: KeyBytes([171; 32]),
        };
        let printed = format!("{key:?}");
        assert_eq!(
            printed,
            "PersonalKey(00000000-0000-0000-0000-000000000000, redacted)"
        );
    }
}
