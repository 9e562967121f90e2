use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use contract::token::{Audience, Jwk, KeyError, KeySet, LIFE, PublicKey, TokenRefusal, now};
use contract::{TokenSigner, TokenVerifier};
use domain::ids::{SessionId, UserId};
use domain::time::Time;
use domain::user::Role;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) fn signer() -> TokenSigner {
    TokenSigner::from_pem(&TokenSigner::generate_pem(), Audience::default()).unwrap()
}

pub(crate) fn verifier_of(signer: &TokenSigner) -> TokenVerifier {
    TokenVerifier::with_keys(&Audience::default(), [signer.public_key().clone()])
}

pub(crate) fn token(signer: &TokenSigner, role: Role) -> String {
    signer.sign(
        UserId(Uuid::from_u128(1)),
        role,
        SessionId(Uuid::from_u128(2)),
        now(),
    )
}

fn later(time: Time, by: Duration) -> Time {
    Time::from_microseconds(time.microseconds() + i64::try_from(by.as_micros()).unwrap())
}

/// A token of the same claims with something changed and signed by a key of its own choice.
fn forged(header: &Header, key: &EncodingKey, change: impl FnOnce(&mut Value)) -> String {
    let seconds = now().seconds();
    let mut claims = json!({
        "iss": "holdfast", "aud": "holdfast", "sub": Uuid::from_u128(1), "role": "admin",
        "iat": seconds, "exp": seconds + 600, "jti": Uuid::from_u128(3), "sid": Uuid::from_u128(2),
    });
    change(&mut claims);
    jsonwebtoken::encode(header, &claims, key).unwrap()
}

/// A key with its verifier, and the header of its tokens.
fn forger() -> (EncodingKey, Header, TokenVerifier) {
    let pem = TokenSigner::generate_pem();
    let signer = TokenSigner::from_pem(&pem, Audience::default()).unwrap();
    let key = EncodingKey::from_ed_pem(pem.as_bytes()).unwrap();
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(signer.public_key().kid().to_owned());
    (key, header, verifier_of(&signer))
}

#[test]
fn a_signed_token_names_its_user_role_and_session() {
    let signer = signer();
    let at = now();
    let token = signer.sign(
        UserId(Uuid::from_u128(1)),
        Role::Staff,
        SessionId(Uuid::from_u128(2)),
        at,
    );
    let actor = verifier_of(&signer).verify(&token, at).unwrap();
    assert_eq!(actor.user_id, UserId(Uuid::from_u128(1)));
    assert_eq!(actor.role, Role::Staff);
    assert_eq!(actor.session_id, SessionId(Uuid::from_u128(2)));
    assert_eq!(actor.expires_at.seconds(), at.seconds() + 600);
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    assert_eq!(header.kid.as_deref(), Some(signer.public_key().kid()));
}

#[test]
fn a_token_expires_also_when_it_is_remembered() {
    let signer = signer();
    let verifier = verifier_of(&signer);
    let token = token(&signer, Role::Customer);
    assert!(verifier.verify(&token, now()).is_ok());
    let end = later(now(), LIFE + Duration::from_secs(1));
    assert_eq!(verifier.verify(&token, end), Err(TokenRefusal::Expired));
    assert_eq!(
        verifier_of(&signer).verify(&token, end),
        Err(TokenRefusal::Expired)
    );
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_skew_of_clocks() {
    let signer = signer();
    let token = token(&signer, Role::Customer);
    let verify = |before: i64| {
        let at = Time::from_microseconds(now().microseconds() - before * 1_000_000);
        verifier_of(&signer).verify(&token, at)
    };
    assert!(verify(50).is_ok());
    assert_eq!(verify(70), Err(TokenRefusal::Invalid));
}

#[test]
fn a_token_signed_by_another_key_is_refused() {
    let (ours, theirs) = (signer(), signer());
    let token = token(&theirs, Role::Admin);
    assert_eq!(
        verifier_of(&ours).verify(&token, now()),
        Err(TokenRefusal::UnknownKey)
    );
    // The same with our key's name on it.
    let (_, header, verifier) = forger();
    let (key, ..) = forger();
    let forged = forged(&header, &key, |_| {});
    assert_eq!(verifier.verify(&forged, now()), Err(TokenRefusal::Invalid));
}

#[test]
fn a_token_of_another_type_or_algorithm_is_refused() {
    let (key, good, verifier) = forger();
    assert!(verifier.verify(&forged(&good, &key, |_| {}), now()).is_ok());
    let refused = |change: fn(&mut Header)| {
        let mut header = good.clone();
        change(&mut header);
        assert_eq!(
            verifier.verify(&forged(&header, &key, |_| {}), now()),
            Err(TokenRefusal::Invalid)
        );
    };
    refused(|header| header.typ = Some("JWT".to_owned()));
    refused(|header| header.typ = None);
    refused(|header| header.kid = None);
    refused(|header| header.crit = Some(vec!["exp".to_owned()]));

    let public = verifier.key_set().keys[0].x.clone();
    let mut symmetric = good.clone();
    symmetric.alg = Algorithm::HS256;
    let secret = EncodingKey::from_secret(&BASE64.decode(public).unwrap());
    let confused = forged(&symmetric, &secret, |_| {});
    assert_eq!(
        verifier.verify(&confused, now()),
        Err(TokenRefusal::Invalid)
    );
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let (key, good, verifier) = forger();
    let token = forged(&good, &key, |_| {});
    let claims = token.split('.').nth(1).unwrap();
    let kid = good.kid.unwrap();
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string();
        for end in ["", ".", "..", ".AA"] {
            let token = format!("{}.{claims}{end}", BASE64.encode(&header));
            assert_eq!(
                verifier.verify(&token, now()),
                Err(TokenRefusal::Invalid),
                "{token}"
            );
        }
    }
    let unsigned = token.rsplit_once('.').unwrap().0;
    for end in ["", ".", ".AA"] {
        assert_eq!(
            verifier.verify(&format!("{unsigned}{end}"), now()),
            Err(TokenRefusal::Invalid)
        );
    }
}

#[test]
fn a_token_for_or_by_somebody_else_or_with_a_claim_missing_is_refused() {
    let (key, header, verifier) = forger();
    let refused = |change: &dyn Fn(&mut Value)| {
        let token = forged(&header, &key, change);
        assert_eq!(verifier.verify(&token, now()), Err(TokenRefusal::Invalid));
    };
    refused(&|claims| claims["aud"] = "another-shop".into());
    refused(&|claims| claims["iss"] = "another-issuer".into());
    refused(&|claims| claims["role"] = "root".into());
    refused(&|claims| claims["sub"] = "not a user".into());
    for name in ["iss", "aud", "sub", "role", "iat", "exp", "jti", "sid"] {
        refused(&|claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let verifier = verifier_of(&signer());
    for text in ["", ".", "..", "a.b.c", "ä.ö.ü", &"a".repeat(100_000)] {
        assert_eq!(verifier.verify(text, now()), Err(TokenRefusal::Invalid));
    }
}

#[test]
fn two_keys_are_good_while_keys_rotate_and_the_old_one_is_forgotten_afterwards() {
    let (old, new) = (signer(), signer());
    let keys = [old.public_key().clone(), new.public_key().clone()];
    let verifier = TokenVerifier::with_keys(&Audience::default(), keys);
    let old_token = token(&old, Role::Customer);
    assert!(verifier.verify(&old_token, now()).is_ok());
    assert!(verifier.verify(&token(&new, Role::Customer), now()).is_ok());
    assert_eq!(verifier.key_set().keys.len(), 2);

    verifier
        .set_key_set(&KeySet {
            keys: vec![Jwk::from(new.public_key())],
        })
        .unwrap();
    assert_eq!(
        verifier.verify(&old_token, now()),
        Err(TokenRefusal::UnknownKey)
    );
    assert!(verifier.verify(&token(&new, Role::Customer), now()).is_ok());
}

#[test]
fn a_key_set_without_a_usable_key_leaves_the_known_ones() {
    let signer = signer();
    let verifier = verifier_of(&signer);
    let good = Jwk::from(signer.public_key());
    let spoilt: [fn(&mut Jwk); 4] = [
        |key| key.x.truncate(10),
        |key| key.kty = "RSA".to_owned(),
        |key| key.kid.clear(),
        |key| key.x = BASE64.encode([2; 32]),
    ];
    assert_eq!(
        verifier.set_key_set(&KeySet { keys: vec![] }),
        Err(KeyError::KeySet)
    );
    for spoil in spoilt {
        let mut key = good.clone();
        spoil(&mut key);
        let set = KeySet { keys: vec![key] };
        assert_eq!(verifier.set_key_set(&set), Err(KeyError::KeySet));
    }
    assert!(
        verifier
            .verify(&token(&signer, Role::Customer), now())
            .is_ok()
    );
}

#[test]
fn a_key_has_the_same_id_wherever_it_is_read() {
    let signer = signer();
    let public = signer.public_key();
    assert_eq!(PublicKey::from_pem(&public.to_pem()).as_ref(), Ok(public));
    // RFC 8037, appendix A.3: the thumbprint of its example key.
    let example = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    let example = PublicKey::from_pem(example).unwrap();
    assert_eq!(example.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(PublicKey::from_pem("nonsense"), Err(KeyError::Public));
    let no_key = TokenSigner::from_pem("nonsense", Audience::default());
    assert_eq!(no_key.map(drop), Err(KeyError::Private));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_rings_for_the_key_set_and_its_token_is_good_once_it_came() {
    let (old, new) = (signer(), signer());
    let verifier = TokenVerifier::with_fetched_keys(&Audience::default());
    let token = token(&new, Role::Customer);
    assert_eq!(
        verifier.verify_waiting(&token).await,
        Err(TokenRefusal::NoKeys)
    );

    let old_set = KeySet {
        keys: vec![Jwk::from(old.public_key())],
    };
    verifier.set_key_set(&old_set).unwrap();
    assert_eq!(
        verifier.verify_waiting(&token).await,
        Err(TokenRefusal::UnknownKey)
    );
    verifier.unknown_key().await;

    let source = verifier.clone();
    let fetch = tokio::spawn(async move {
        source.unknown_key().await;
        source.set_key_set(&KeySet {
            keys: vec![Jwk::from(new.public_key())],
        })
    });
    assert!(verifier.verify_waiting(&token).await.is_ok());
    fetch.await.unwrap().unwrap();
}

#[test]
fn a_signer_cannot_be_printed() {
    let pem = TokenSigner::generate_pem();
    let signer = TokenSigner::from_pem(&pem, Audience::default()).unwrap();
    let printed = format!("{signer:?}");
    assert!(printed.ends_with("redacted)"), "{printed}");
}
