//! Access tokens: signed JWTs (RFC 9068) that any service can check with our public keys.
//!
//! A token is good until it expires, on every role and without asking anybody; ending a session
//! ends its refreshing. Checking a signature costs 45 µs, so a token found good is remembered by
//! its digest until it expires, and forgotten when the keys change.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use domain::ids::{SessionId, UserId};
use domain::time::Time;
use domain::user::Role;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use lru::LruCache;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::problem::AccessRefusal;
use crate::{Actor, Problem};

/// How long an access token lives.
pub const LIFE: Duration = Duration::from_secs(10 * 60);
/// How far the clocks of the signing and the checking machine may differ.
const CLOCK_SKEW_SECONDS: i64 = 60;
/// The header's `typ` (RFC 9068), so that no other JWT of ours can be taken for an access token.
const TYPE: &str = "at+jwt";
/// The longest token that is looked at; ours have about 500 bytes.
const LENGTH_MAX: usize = 4096;
/// Tokens remembered as good; about 200 bytes each.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");
/// How long a request with an unknown key id waits for the key set to be fetched.
const UNKNOWN_KEY_WAIT: Duration = Duration::from_millis(2500);

/// Who issues the tokens of this shop and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}

impl Default for Audience {
    fn default() -> Self {
        Self {
            issuer: "holdfast".to_owned(),
            audience: "holdfast".to_owned(),
        }
    }
}

/// The claims of an access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    role: Role,
    iat: i64,
    exp: i64,
    jti: Uuid,
    sid: SessionId,
}

/// A key that cannot be used, in one sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no private key.
    #[error("the signing key is not an Ed25519 private key in PKCS #8 PEM")]
    Private,
    /// It is no public key.
    #[error("the public key is not an Ed25519 key in PEM")]
    Public,
    /// The key set has no key that can check our tokens.
    #[error("the key set has no Ed25519 key with a kid")]
    KeySet,
}

/// Signs access tokens. Cannot be printed; its key is wiped when dropped.
#[derive(Clone)]
pub struct TokenSigner {
    audience: Audience,
    key: EncodingKey,
    public: PublicKey,
}

impl TokenSigner {
    /// A new random key as PKCS #8 PEM.
    pub fn generate_pem() -> Zeroizing<String> {
        SigningKey::from_bytes(&personal_data::random_bytes())
            .to_pkcs8_pem(LineEnding::LF)
            .expect("a seed of 32 bytes can be written as PKCS #8")
    }

    /// A signer with a private key.
    ///
    /// # Errors
    /// When it is not an Ed25519 private key in PKCS #8 PEM.
    pub fn from_pem(pem: &str, audience: Audience) -> Result<Self, KeyError> {
        let signing = SigningKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Private)?;
        let der = signing.to_pkcs8_der().map_err(|_| KeyError::Private)?;
        let public = PublicKey::new(&signing.verifying_key());
        Ok(Self {
            audience,
            key: EncodingKey::from_ed_der(der.as_bytes()),
            public,
        })
    }

    /// Its public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The token of a session, good for [`LIFE`] from now.
    pub fn sign(&self, user: UserId, role: Role, session: SessionId, now: Time) -> String {
        let claims = Claims {
            iss: self.audience.issuer.clone(),
            aud: self.audience.audience.clone(),
            sub: user,
            role,
            iat: now.seconds(),
            exp: now.seconds().saturating_add_unsigned(LIFE.as_secs()),
            jti: Uuid::new_v4(),
            sid: session,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.public.kid.clone());
        jsonwebtoken::encode(&header, &claims, &self.key)
            .expect("the key was checked when the signer was made")
    }
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenSigner({}, redacted)", self.public.kid)
    }
}

/// A public key with the id by which tokens name it: its thumbprint (RFC 7638), so that a key has
/// the same id wherever it is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kid: String,
    bytes: [u8; 32],
}

impl PublicKey {
    fn new(key: &VerifyingKey) -> Self {
        let bytes = key.to_bytes();
        let members = format!(
            r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
            BASE64.encode(bytes)
        );
        Self {
            kid: BASE64.encode(Sha256::digest(members)),
            bytes,
        }
    }

    /// Reads a public key, or the public half of a private one.
    ///
    /// # Errors
    /// When it is not an Ed25519 key in PEM.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(pem).map_err(|_| KeyError::Public)?;
        Ok(Self::new(&key))
    }

    /// The key as SPKI PEM.
    pub fn to_pem(&self) -> String {
        VerifyingKey::from_bytes(&self.bytes)
            .ok()
            .and_then(|key| key.to_public_key_pem(LineEnding::LF).ok())
            .expect("the bytes are those of a verifying key")
    }

    /// The id by which tokens name it.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

/// The public keys of a shop as other services read them (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeySet {
    /// The keys whose tokens are good.
    pub keys: Vec<Jwk>,
}

/// One Ed25519 public key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    #[serde(default)]
    pub crv: String,
    /// The key, base64url.
    #[serde(default)]
    pub x: String,
    /// The id by which tokens name the key.
    #[serde(default)]
    pub kid: String,
    /// `EdDSA`.
    #[serde(default)]
    pub alg: String,
    /// `sig`.
    #[serde(default)]
    pub r#use: String,
}

impl From<&PublicKey> for Jwk {
    fn from(key: &PublicKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: BASE64.encode(key.bytes),
            kid: key.kid.clone(),
            alg: "EdDSA".to_owned(),
            r#use: "sig".to_owned(),
        }
    }
}

impl Jwk {
    /// The key, unless it is of another kind or no point of the curve.
    fn public_key(&self) -> Option<PublicKey> {
        if self.kty != "OKP" || self.crv != "Ed25519" || self.kid.is_empty() {
            return None;
        }
        let bytes = BASE64.decode(&self.x).ok()?.try_into().ok()?;
        VerifyingKey::from_bytes(&bytes).ok()?;
        Some(PublicKey {
            kid: self.kid.clone(),
            bytes,
        })
    }
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It is no token of this shop, or was changed.
    Invalid,
    /// It names a key that is not known here; it may be fetched.
    UnknownKey,
    /// The keys were never fetched yet: nothing can be said about any token.
    NoKeys,
    /// Its time is over.
    Expired,
}

impl From<TokenRefusal> for Problem {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Expired => Self::unauthorized(AccessRefusal::Expired),
            TokenRefusal::Invalid | TokenRefusal::UnknownKey => {
                Self::unauthorized(AccessRefusal::Invalid)
            }
            TokenRefusal::NoKeys => Self::unavailable(UNKNOWN_KEY_WAIT),
        }
    }
}

/// Checks access tokens. Cheap to clone; all clones share keys and memory.
#[derive(Clone)]
pub struct TokenVerifier(Arc<Verifier>);

struct Verifier {
    validation: Validation,
    keys: RwLock<BTreeMap<String, PublicKey>>,
    /// Good tokens by digest, with the actor that they name.
    remembered: Mutex<LruCache<[u8; 32], Actor>>,
    /// Rung when a token names an unknown key.
    unknown_key: Notify,
    /// Counts how often the key set was fetched; nobody ever fetches fixed keys.
    fetched: Option<watch::Sender<u64>>,
}

impl TokenVerifier {
    /// A verifier with the keys of the operator's files; several while keys rotate.
    pub fn with_keys(audience: &Audience, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let verifier = Self::new(audience, None);
        verifier.replace_keys(keys.into_iter().collect());
        verifier
    }

    /// A verifier whose keys are fetched by somebody who waits for [`Self::unknown_key`] and
    /// calls [`Self::set_key_set`]. Until then it knows no key.
    pub fn with_fetched_keys(audience: &Audience) -> Self {
        Self::new(audience, Some(watch::Sender::new(0)))
    }

    fn new(audience: &Audience, fetched: Option<watch::Sender<u64>>) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&audience.issuer]);
        validation.set_audience(&[&audience.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // Checked by `verify` against the moment that it is given.
        validation.validate_exp = false;
        Self(Arc::new(Verifier {
            validation,
            keys: RwLock::default(),
            remembered: Mutex::new(LruCache::new(REMEMBERED_MAX)),
            unknown_key: Notify::new(),
            fetched,
        }))
    }

    /// Takes a fetched key set in the place of the keys known so far.
    ///
    /// # Errors
    /// When no key in it can be used: then the known ones stay.
    pub fn set_key_set(&self, set: &KeySet) -> Result<(), KeyError> {
        let keys: Vec<_> = set.keys.iter().filter_map(Jwk::public_key).collect();
        if keys.is_empty() {
            return Err(KeyError::KeySet);
        }
        self.replace_keys(keys);
        if let Some(fetched) = &self.0.fetched {
            fetched.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn replace_keys(&self, keys: Vec<PublicKey>) {
        let keys = keys.into_iter().map(|key| (key.kid.clone(), key)).collect();
        let mut known = self.0.keys.write();
        if *known != keys {
            *known = keys;
            // What a key that is gone has signed must not be remembered as good. Done while the
            // keys are locked, so that no check with the old ones is remembered afterwards.
            self.0.remembered.lock().clear();
        }
    }

    /// Whether any key is known, so that tokens can be checked at all.
    pub fn has_keys(&self) -> bool {
        !self.0.keys.read().is_empty()
    }

    /// The keys as other services read them.
    pub fn key_set(&self) -> KeySet {
        KeySet {
            keys: self.0.keys.read().values().map(Jwk::from).collect(),
        }
    }

    /// Resolves when a token named a key that is not known here.
    pub async fn unknown_key(&self) {
        self.0.unknown_key.notified().await;
    }

    /// Checks a token; one with an unknown key waits a moment for the key set to be fetched.
    ///
    /// # Errors
    /// Why it is not good.
    pub async fn verify_waiting(&self, token: &str) -> Result<Actor, TokenRefusal> {
        let verified = self.verify(token, now());
        let (Err(TokenRefusal::UnknownKey), Some(fetched)) = (&verified, &self.0.fetched) else {
            return verified;
        };
        let mut fetched = fetched.subscribe();
        self.0.unknown_key.notify_one();
        let _ = tokio::time::timeout(UNKNOWN_KEY_WAIT, fetched.changed()).await;
        self.verify(token, now())
    }

    /// Checks a token at a moment.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn verify(&self, token: &str, now: Time) -> Result<Actor, TokenRefusal> {
        if token.len() > LENGTH_MAX {
            return Err(TokenRefusal::Invalid);
        }
        let digest = Sha256::digest(token).into();
        let remembered = self.0.remembered.lock().get(&digest).copied();
        let actor = match remembered {
            Some(actor) => actor,
            None => self.check(token, digest, now)?,
        };
        if actor.expires_at <= now {
            Err(TokenRefusal::Expired)
        } else {
            Ok(actor)
        }
    }

    fn check(&self, token: &str, digest: [u8; 32], now: Time) -> Result<Actor, TokenRefusal> {
        let invalid = |_| TokenRefusal::Invalid;
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        let of_type = header.typ.as_deref().is_some_and(is_access_token_type);
        if !of_type || header.alg != Algorithm::EdDSA || header.crit.is_some() {
            return Err(TokenRefusal::Invalid);
        }
        let kid = header.kid.ok_or(TokenRefusal::Invalid)?;
        let keys = self.0.keys.read();
        if keys.is_empty() {
            return Err(TokenRefusal::NoKeys);
        }
        let key = keys.get(&kid).ok_or(TokenRefusal::UnknownKey)?;
        let key = DecodingKey::from_ed_der(&key.bytes);
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.0.validation)
            .map_err(invalid)?
            .claims;
        if claims.iat > now.seconds().saturating_add(CLOCK_SKEW_SECONDS) {
            return Err(TokenRefusal::Invalid);
        }
        let actor = Actor {
            user_id: claims.sub,
            role: claims.role,
            session_id: claims.sid,
            expires_at: Time::from_microseconds(claims.exp.saturating_mul(1_000_000)),
        };
        self.0.remembered.lock().put(digest, actor);
        Ok(actor)
    }
}

impl std::fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys.read().keys()).finish()
    }
}

/// RFC 9068 lets the type be written with or without its first part, in any case.
fn is_access_token_type(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.strip_prefix("application/").unwrap_or(&text) == TYPE
}

/// The moment by this machine's clock.
pub fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_microseconds(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
