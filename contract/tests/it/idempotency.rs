use axum::extract::{FromRequest as _, FromRequestParts as _};
use contract::{Fingerprints, IdempotencyKey, OptionalIdempotencyKey, Problem};
use domain::ids::UserId;
use domain::user::Role;
use personal_data::MacKey;
use record::{Actor, RecordedKey};
use serde_json::Value;
use uuid::Uuid;

use crate::client::request;

async fn read(values: &[&str]) -> Result<Option<IdempotencyKey>, Problem> {
    let headers: Vec<_> = values
        .iter()
        .map(|value| ("idempotency-key", *value))
        .collect();
    let (mut parts, _) = request("POST", "/", &headers).into_parts();
    OptionalIdempotencyKey::from_request_parts(&mut parts, &())
        .await
        .map(|key| key.0)
}

#[tokio::test]
async fn a_key_has_1_to_255_visible_ascii_characters() {
    for good in ["a", "~!\"#", &"x".repeat(255)] {
        assert_eq!(read(&[good]).await.unwrap().unwrap().as_str(), good);
    }
    for bad in ["", "a b", " ", &"x".repeat(256)] {
        assert_eq!(
            read(&[bad]).await.unwrap_err().code().as_str(),
            "malformed-header",
            "{bad:?}"
        );
    }
    assert_eq!(
        read(&["a", "a"]).await.unwrap_err().code().as_str(),
        "malformed-header"
    );
    assert!(IdempotencyKey::parse("ä").is_none());
}

#[tokio::test]
async fn a_missing_key_matters_only_where_one_is_required() {
    assert_eq!(read(&[]).await.unwrap(), None);
    let missing = IdempotencyKey::from_request(request("POST", "/", &[]), &())
        .await
        .unwrap_err();
    assert_eq!(missing.code().as_str(), "idempotency-key-missing");
}

fn user(id: u128, role: Role) -> Actor {
    Actor::User {
        id: UserId(Uuid::from_u128(id)),
        role,
    }
}

fn recorded(actor: &Actor, key: &str, path: &str, body: &str) -> RecordedKey {
    let body: Value = serde_json::from_str(body).unwrap();
    let key = IdempotencyKey::parse(key).unwrap();
    Fingerprints::new(MacKey::new([1; 32])).of_json(actor, &key, "POST", path, &body)
}

#[test]
fn a_request_is_compared_as_json_values() {
    let first = r#"{"lines":[{"sku":"A","quantity":2}],"note":null}"#;
    let of = |body| recorded(&user(1, Role::Customer), "k", "/v1/orders", body);
    for same in [
        r#"{"note":null,"lines":[{"quantity":2,"sku":"A"}]}"#,
        "{ \"note\" : null,\n\"lines\": [ { \"quantity\": 2, \"sku\": \"\\u0041\" } ] }",
    ] {
        assert_eq!(of(same), of(first), "{same}");
    }
    for other in [
        r#"{"lines":[{"sku":"A","quantity":3}],"note":null}"#,
        r#"{"lines":[{"sku":"A","quantity":2}]}"#,
        r#"{"lines":[{"sku":"A","quantity":"2"}],"note":null}"#,
        r#"{"lines":[{"sku":"a","quantity":2}],"note":null}"#,
    ] {
        assert_ne!(of(other).fingerprint, of(first).fingerprint, "{other}");
        assert_eq!(of(other).key, of(first).key);
    }
}

#[test]
fn a_key_belongs_to_its_actor_and_a_fingerprint_to_its_path() {
    let first = recorded(&user(1, Role::Customer), "k", "/v1/orders", "{}");
    assert_eq!(
        first,
        recorded(&user(1, Role::Admin), "k", "/v1/orders", "{}"),
        "after a promotion"
    );
    assert_ne!(
        first.key,
        recorded(&user(2, Role::Customer), "k", "/v1/orders", "{}").key
    );
    assert_ne!(
        first.key,
        recorded(&user(1, Role::Customer), "l", "/v1/orders", "{}").key
    );
    assert_ne!(
        first.key,
        recorded(&Actor::Operator, "k", "/v1/orders", "{}").key
    );
    let elsewhere = recorded(&user(1, Role::Customer), "k", "/v1/other", "{}");
    assert_ne!(first.fingerprint, elsewhere.fingerprint);
}

#[test]
fn hashes_are_32_hexadecimal_digits_and_say_nothing() {
    let recorded = recorded(&user(1, Role::Customer), "secret-key", "/v1/orders", "{}");
    for hash in [&recorded.key, &recorded.fingerprint] {
        assert!(
            hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{hash}"
        );
    }
}
