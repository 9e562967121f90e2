//! Headers of a request: one a line, `name: value`.
//!
//! An idempotency key is taken exactly where it is sent once and has 1 to 255 visible ASCII
//! characters; nothing else that a client says in a header makes anything panic.

use axum::extract::FromRequestParts as _;
use axum::http::{HeaderName, HeaderValue, Request};
use contract::{OptionalIdempotencyKey, json};
use futures::FutureExt as _;

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let mut request = Request::new(());
    let headers = request.headers_mut();
    let mut keys = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').take(16) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let value = line[colon + 1..].trim_ascii();
        let name = HeaderName::from_bytes(&line[..colon]);
        let (Ok(name), Ok(sent)) = (name, HeaderValue::from_bytes(value)) else {
            continue;
        };
        if name == contract::headers::IDEMPOTENCY_KEY {
            keys.push(value);
        }
        headers.append(name, sent);
    }
    let (mut parts, ()) = request.into_parts();
    let read = OptionalIdempotencyKey::from_request_parts(&mut parts, &());
    let read = read.now_or_never().expect("it waits for nothing");
    let good = |key: &[u8]| (1..256).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    match (&keys[..], read) {
        ([], Ok(OptionalIdempotencyKey(None))) => {}
        ([key], Ok(OptionalIdempotencyKey(Some(read)))) => {
            assert!(good(key));
            assert_eq!(read.as_str().as_bytes(), *key);
        }
        ([key], Err(_)) => assert!(!good(key)),
        ([_, _, ..], Err(_)) => {}
        (keys, read) => panic!("{keys:?} were read as {read:?}"),
    }
    let is_json = |essence: &str| essence == "application/json";
    let _ = json::check_content_type(&parts.headers, "application/json", is_json);
}
