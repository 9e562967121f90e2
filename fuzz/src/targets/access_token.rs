//! Access tokens (JWT), which clients send.
//!
//! The input as it is, and as header and claims of a token without a good signature, is refused.
//! A token that was signed is good; with one character changed it is not.

use std::sync::OnceLock;

use contract::token::Audience;
use contract::{TokenSigner, TokenVerifier};
use domain::ids::{SessionId, UserId};
use domain::time::Time;
use domain::user::Role;
use uuid::Uuid;

use super::cursor::tampered;
use super::{split, take};

/// A key that signs nothing but this target's tokens.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n\
    -----END PRIVATE KEY-----\n";

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    static KEYS: OnceLock<(TokenSigner, TokenVerifier)> = OnceLock::new();
    let (signer, verifier) = KEYS.get_or_init(|| {
        let audience = Audience::default();
        let signer = TokenSigner::from_pem(PEM, audience.clone()).expect("it is a key");
        let verifier = TokenVerifier::with_keys(&audience, [signer.public_key().clone()]);
        (signer, verifier)
    });
    let now = Time::from_microseconds(1_700_000_000_000_000);
    let (first, mut rest) = split(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(verifier.verify(text, now).is_err(), "nobody signed it");
    }
    let encoded = |part: &[u8]| base64url(part);
    let forged = format!("{}.{}.{}", encoded(first), encoded(rest), encoded(&[7; 64]));
    assert!(verifier.verify(&forged, now).is_err(), "nobody signed it");

    let flipped = u16::from_be_bytes(take(&mut rest));
    let user = UserId(Uuid::from_bytes(take(&mut rest)));
    let session = SessionId(Uuid::from_bytes(take(&mut rest)));
    let [role] = take(&mut rest);
    let role = [Role::Customer, Role::Staff, Role::Admin][usize::from(role) % 3];
    let token = signer.sign(user, role, session, now);
    let actor = verifier.verify(&token, now).expect("it was signed");
    assert_eq!(
        (actor.user_id, actor.role, actor.session_id),
        (user, role, session)
    );
    assert!(
        verifier.verify(&token, actor.expires_at).is_err(),
        "it has expired"
    );
    let changed = tampered(&token, flipped);
    assert!(
        verifier.verify(&changed, now).is_err(),
        "changed: {changed}"
    );
}

/// base64url without padding.
fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
