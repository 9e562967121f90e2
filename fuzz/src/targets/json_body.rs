//! JSON bodies, read strictly.
//!
//! What is taken is what serde_json alone reads, and it is read the same when it is written again,
//! unless it has a floating-point number: serde_json reads the last digit of one as it comes, and
//! no call takes one. What serde_json reads and this does not has a member twice. A pointer of a refusal is one.

use contract::json;
use domain::money::Money;
use domain::quantity::Quantity;
use domain::sku::Sku;
use domain::text::Name;
use serde::Deserialize;
use serde_json::Value;

/// A body with everything that a call's body has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its reading is tested")]
struct Order {
    lines: Vec<Line>,
    name: Option<Name>,
    price: Option<Money>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its reading is tested")]
struct Line {
    sku: Sku,
    quantity: Quantity,
}

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let strict = json::parse::<Value>(bytes);
    let lax = serde_json::from_slice::<Value>(bytes);
    match (&strict, &lax) {
        (Ok((value, json)), Ok(lax)) => {
            assert_eq!(json, lax);
            assert_eq!(value, lax);
            let again = serde_json::to_vec(json).expect("it is JSON");
            let again = json::parse::<Value>(&again).expect("it is JSON");
            assert!(again.1 == *json || has_float(json), "{again:?} is {json}");
        }
        (Ok(_), Err(error)) => panic!("taken, but {error}"),
        (Err(problem), Ok(_)) => {
            let said = problem.to_json().to_string();
            assert!(
                said.contains("named twice"),
                "refused for no reason: {said}"
            );
        }
        (Err(_), Err(_)) => {}
    }
    match json::parse::<Order>(bytes) {
        Ok((_, json)) => assert_eq!(Some(json), lax.ok()),
        Err(problem) => {
            let problem = problem.to_json();
            for error in problem["errors"].as_array().into_iter().flatten() {
                let pointer = error["pointer"].as_str().expect("an error has a pointer");
                assert!(
                    pointer.is_empty() || pointer.starts_with('/'),
                    "{pointer:?}"
                );
            }
        }
    }
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_float),
        Value::Object(members) => members.values().any(has_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
