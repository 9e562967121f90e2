//! Reading a JSON body, strictly: what is not understood is refused, never ignored.
//!
//! A body is first read as JSON (400 where it is none) and then as what the call takes (422 with
//! a JSON pointer where it is not). The first reading is handed out too: retries are compared as
//! JSON values (report R21). An object that names a member twice has no one meaning and is
//! refused; nesting stops at serde_json's limit of 128.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::{FieldError, Problem};

/// The longest text of serde's that is repeated to the client; it may quote the value sent.
const REASON_LENGTH_MAX: usize = 200;

/// A body that must be there.
#[derive(Debug, Clone)]
pub struct Body<T> {
    /// As what the call takes.
    pub value: T,
    /// As JSON, for the fingerprint of the request.
    pub json: Value,
}

/// A body that may be left out together with its content type: then it counts as `{}`, so that a
/// retry may send either (report R20).
#[derive(Debug, Clone)]
pub struct OptionalBody<T> {
    /// As what the call takes.
    pub value: T,
    /// As JSON, for the fingerprint of the request.
    pub json: Value,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (value, json) = match read_json(request, state).await? {
            Some(bytes) => parse(&bytes)?,
            None => return Err(Problem::missing_body()),
        };
        Ok(Self { value, json })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (value, json) = match read_json(request, state).await? {
            Some(bytes) => parse(&bytes)?,
            None => parse(b"{}")?,
        };
        Ok(Self { value, json })
    }
}

/// The bytes of a body that says it is JSON; `None` where there is none, whatever it says.
async fn read_json<S: Send + Sync>(request: Request, state: &S) -> Result<Option<Bytes>, Problem> {
    let headers = request.headers().clone();
    let bytes = read_bytes(request, state).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    check_content_type(&headers, "application/json", is_json)?;
    Ok(Some(bytes))
}

/// Reads a whole body within the limit that `layers` set for the route.
///
/// # Errors
/// 413 beyond the limit, 400 when the body breaks off.
pub async fn read_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::body_too_large(),
            _ => Problem::malformed_body("it ended before its announced length"),
        })
}

/// Checks that the body has an accepted media type and no encoding.
///
/// # Errors
/// 415 that names what is accepted.
pub fn check_content_type(
    headers: &HeaderMap,
    accepted: &str,
    accepts: fn(&str) -> bool,
) -> Result<(), Problem> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("?").trim())
    };
    let plain = text(CONTENT_ENCODING).is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
    let once = headers.get_all(CONTENT_TYPE).iter().count() == 1;
    let media_type = text(CONTENT_TYPE).unwrap_or_default();
    let (essence, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
    if plain && once && is_utf_8(parameters) && accepts(&essence.trim().to_ascii_lowercase()) {
        return Ok(());
    }
    Err(Problem::unsupported_media_type(accepted))
}

/// Whether a lower-case media type is JSON.
fn is_json(essence: &str) -> bool {
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Whether no other charset than UTF-8 is announced.
fn is_utf_8(parameters: &str) -> bool {
    parameters
        .split(';')
        .all(|parameter| match parameter.split_once('=') {
            Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => charset
                .trim()
                .trim_matches('"')
                .eq_ignore_ascii_case("utf-8"),
            _ => true,
        })
}

/// Reads bytes as JSON and the JSON as a value.
///
/// # Errors
/// 400 when it is not JSON, 422 when it is not valid.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Value), Problem> {
    let invalid = |path: &Path, error: &serde_json::Error| {
        Problem::invalid_body(vec![field_error(path, error)])
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let UniqueMembers(json) =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let (path, error) = (error.path(), error.inner());
            if error.is_data() {
                invalid(path, error)
            } else {
                Problem::malformed_body(error)
            }
        })?;
    deserializer.end().map_err(Problem::malformed_body)?;
    let value = serde_path_to_error::deserialize(&json)
        .map_err(|error| invalid(error.path(), error.inner()))?;
    Ok((value, json))
}

/// What is wrong and where. serde reports an unknown or missing member at its parent, so its name
/// is taken from the message.
fn field_error(path: &Path, error: &serde_json::Error) -> FieldError {
    let mut pointer = pointer(path);
    let message = error.to_string();
    let named = |start| {
        message
            .strip_prefix(start)?
            .split_once('`')
            .map(|(name, _)| name)
    };
    let (member, detail) = if let Some(name) = named("unknown field `") {
        (
            Some(name),
            "This member is not known here; leave it out.".to_owned(),
        )
    } else if let Some(name) = named("missing field `") {
        (Some(name), "This member is required.".to_owned())
    } else {
        (None, message.chars().take(REASON_LENGTH_MAX).collect())
    };
    if let Some(member) = member
        && !pointer.ends_with(&token(member))
    {
        pointer += &token(member);
    }
    FieldError { pointer, detail }
}

/// A JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => token(key),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// One step of a JSON pointer, escaped.
fn token(member: &str) -> String {
    format!("/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// JSON in which no object names a member twice.
struct UniqueMembers(Value);

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueMembersVisitor).map(Self)
    }
}

struct UniqueMembersVisitor;

impl<'de> Visitor<'de> for UniqueMembersVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(UniqueMembers(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, UniqueMembers(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("A member is named twice; name it once."));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body as HttpBody;
    use axum::extract::DefaultBodyLimit;
    use domain::quantity::Quantity;
    use domain::sku::Sku;
    use serde_json::json;

    use super::*;
    use crate::problem::Code;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Place {
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its reading is tested")]
    struct Line {
        sku: Sku,
        quantity: Quantity,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Cancel {
        reason: Option<String>,
    }

    fn request(content_type: Option<&str>, body: impl Into<HttpBody>) -> Request {
        let mut request = Request::builder();
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(body.into()).unwrap()
    }

    async fn place(content_type: &str, body: impl Into<HttpBody>) -> Result<Body<Place>, Problem> {
        Body::from_request(request(Some(content_type), body), &()).await
    }

    fn refused(body: &str) -> serde_json::Value {
        let problem = parse::<Place>(body.as_bytes()).unwrap_err();
        assert_eq!(problem.code(), Code::InvalidBody, "{body}: {problem:?}");
        problem.to_json()["errors"].clone()
    }

    #[tokio::test]
    async fn a_body_is_read_under_every_spelling_of_its_media_type() {
        let body = r#"{"lines":[{"sku":"A","quantity":2}]}"#;
        for content_type in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/vnd.shop+json",
        ] {
            let read = place(content_type, body).await.unwrap();
            assert_eq!(read.value.lines.len(), 1);
            assert_eq!(read.json, json!({"lines": [{"sku": "A", "quantity": 2}]}));
        }
    }

    #[tokio::test]
    async fn another_media_type_charset_or_encoding_is_a_415() {
        for content_type in [
            "",
            "text/plain",
            "text/json",
            "application/json; charset=latin1",
        ] {
            let refused = place(content_type, "{}").await.unwrap_err();
            assert_eq!(refused.code(), Code::UnsupportedMediaType, "{content_type}");
        }
        let without = Body::<Place>::from_request(request(None, "{}"), &())
            .await
            .unwrap_err();
        assert_eq!(without.code(), Code::UnsupportedMediaType);
        let mut packed = request(Some("application/json"), "{}");
        packed
            .headers_mut()
            .insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let packed = Body::<Place>::from_request(packed, &()).await.unwrap_err();
        assert_eq!(packed.code(), Code::UnsupportedMediaType);
    }

    #[tokio::test]
    async fn a_missing_body_is_a_400_with_and_without_media_type() {
        for content_type in [Some("application/json"), None] {
            let request = request(content_type, "");
            let missing = Body::<Place>::from_request(request, &()).await.unwrap_err();
            assert_eq!(missing.code(), Code::MissingBody);
        }
    }

    #[tokio::test]
    async fn an_action_that_needs_nothing_comes_with_or_without_a_body() {
        for (content_type, body) in [
            (None, ""),
            (Some("application/json"), ""),
            (Some("application/json"), "{}"),
        ] {
            let request = request(content_type, body);
            let read = OptionalBody::<Cancel>::from_request(request, &())
                .await
                .unwrap();
            assert_eq!(read.value.reason, None);
            assert_eq!(read.json, json!({}), "a retry may send either");
        }
        let null = request(Some("application/json"), r#"{"reason":null}"#);
        assert!(
            OptionalBody::<Cancel>::from_request(null, &())
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_a_413() {
        let mut request = request(Some("application/json"), vec![b' '; 11]);
        DefaultBodyLimit::max(10).apply(&mut request);
        let refused = Body::<Place>::from_request(request, &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::BodyTooLarge);
    }

    #[test]
    fn what_is_not_json_is_a_400() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for body in [
            "{",
            "nonsense",
            "{} {}",
            "{'a':1}",
            "[1,]",
            "NaN",
            r#""\ud800""#,
            "1e999",
            &deep,
        ] {
            let problem = parse::<Value>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code(), Code::MalformedBody, "{body}");
        }
        assert_eq!(
            parse::<Value>(&[b'"', 0xFF, b'"']).unwrap_err().code(),
            Code::MalformedBody
        );
    }

    #[test]
    fn what_is_not_valid_is_a_422_that_points_at_it() {
        let at = |body: &str| refused(body)[0]["pointer"].as_str().unwrap().to_owned();
        assert_eq!(at(r#"[]"#), "");
        assert_eq!(at(r#"null"#), "");
        assert_eq!(at(r#"{}"#), "/lines");
        assert_eq!(at(r#"{"lines":null}"#), "/lines");
        assert_eq!(at(r#"{"lines":[],"coupon":1}"#), "/coupon");
        assert_eq!(at(r#"{"lines":[],"a/b~c":1}"#), "/a~1b~0c");
        assert_eq!(
            at(r#"{"lines":[{"sku":"A","quantity":1},{"sku":"B"}]}"#),
            "/lines/1/quantity"
        );
        for quantity in [
            "0",
            "-1",
            "1000001",
            "1.0",
            "\"1\"",
            "null",
            "9223372036854775808",
        ] {
            let body = format!(r#"{{"lines":[{{"sku":"A","quantity":{quantity}}}]}}"#);
            assert_eq!(at(&body), "/lines/0/quantity", "{quantity}");
        }
        assert_eq!(
            at(r#"{"lines":[{"sku":"a b","quantity":1}]}"#),
            "/lines/0/sku"
        );
        assert_eq!(
            at(r#"{"lines":[{"sku":"A","quantity":1,"price":1}]}"#),
            "/lines/0/price"
        );
    }

    #[test]
    fn a_member_named_twice_is_refused_at_every_depth() {
        for body in [
            r#"{"lines":[],"lines":[]}"#,
            r#"{"lines":[{"sku":"A","\u0073ku":"B"}]}"#,
        ] {
            assert!(
                refused(body)[0]["detail"]
                    .as_str()
                    .unwrap()
                    .contains("twice")
            );
        }
    }

    #[test]
    fn the_reason_says_what_to_change() {
        let error = &refused(r#"{"lines":[{"sku":"A","quantity":0}]}"#)[0];
        assert_eq!(
            error["detail"],
            "A quantity must be a whole number from 1 to 1000000."
        );
    }
}
