use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::IntoResponse;
use contract::problem::{AccessRefusal, Code};
use contract::{FieldError, Problem, headers};
use domain::sku::Sku;
use serde_json::json;

use crate::client::Answer;

fn sku() -> Sku {
    Sku::parse("LAMP-1").unwrap()
}

/// One problem of every code.
fn one_of_each() -> Vec<Problem> {
    let second = Duration::from_secs(1);
    vec![
        Problem::malformed_body("it is not JSON"),
        Problem::missing_body(),
        Problem::malformed_parameter("limit: A page has 1 to 200 rows."),
        Problem::malformed_header(&headers::IDEMPOTENCY_KEY, "It is too long."),
        Problem::malformed_cursor(),
        Problem::foreign_consistency_token(),
        Problem::idempotency_key_missing(),
        Problem::unauthorized(AccessRefusal::Missing),
        Problem::invalid_credentials(),
        Problem::invalid_refresh_token(),
        Problem::forbidden("This needs the role admin."),
        Problem::not_found("order"),
        Problem::method_not_allowed(),
        Problem::email_taken(),
        Problem::last_admin(),
        Problem::out_of_stock(sku(), 3, 2),
        Problem::stock_changed(sku(), 2),
        Problem::stock_limit(sku()),
        Problem::discontinued(sku()),
        Problem::already_cancelled(),
        Problem::body_too_large(),
        Problem::unsupported_media_type("application/json"),
        Problem::invalid_body(vec![FieldError::new("/name", "It is too long.")]),
        Problem::unknown_sku(sku(), Some("/lines/0/sku".to_owned())),
        Problem::total_too_large(sku()),
        Problem::idempotency_key_reused(),
        Problem::too_many_attempts(second),
        Problem::internal(),
        Problem::unavailable(second),
        Problem::outcome_unknown(second),
        Problem::not_ready(vec![]),
        Problem::not_yet_consistent(second),
    ]
}

#[tokio::test]
async fn every_code_has_a_problem_that_says_what_to_do_next() {
    let mut seen = BTreeMap::new();
    for problem in one_of_each() {
        let code = problem.code();
        let answer = Answer::of(problem.at("/v1/orders").into_response()).await;
        let document = answer.json();
        assert_eq!(answer.code(), code.as_str());
        assert_eq!(answer.status, code.status());
        assert_eq!(document["status"], answer.status.as_u16());
        assert_eq!(document["title"], code.title());
        assert_eq!(document["instance"], "/v1/orders");
        assert!(document["detail"].as_str().unwrap().len() > 5, "{document}");
        assert_eq!(answer.header("cache-control"), "no-store");
        seen.insert(code.as_str(), answer);
    }
    let all: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let missing: Vec<_> = all
        .iter()
        .filter(|code| !seen.contains_key(*code))
        .collect();
    assert!(missing.is_empty(), "{missing:?} have no constructor");
    for (code, answer) in &seen {
        let asks_to_wait = matches!(answer.status.as_u16(), 429 | 503);
        assert_eq!(
            asks_to_wait,
            answer.headers.contains_key("retry-after"),
            "{code}"
        );
        let challenges = answer.status.as_u16() == 401;
        assert_eq!(
            challenges,
            answer.headers.contains_key("www-authenticate"),
            "{code}"
        );
    }
}

#[test]
fn codes_are_told_apart() {
    let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Code::ALL.len());
}

#[tokio::test]
async fn out_of_stock_says_of_what_and_how_much() {
    let answer = Answer::of(Problem::out_of_stock(sku(), 3, 2).into_response()).await;
    assert_eq!(
        answer.json(),
        json!({
            "type": "/problems/out-of-stock",
            "title": "Out of stock",
            "status": 409,
            "detail": "Of LAMP-1, 3 units were asked for and 2 are available; nothing was taken. Ask for fewer, or later.",
            "sku": "LAMP-1",
            "requested": 3,
            "available": 2,
        })
    );
}

#[tokio::test]
async fn errors_point_into_the_body() {
    let errors = vec![
        FieldError::new("/name", "Too long."),
        FieldError::new("/price", "Too low."),
    ];
    let document = Problem::invalid_body(errors).to_json();
    assert_eq!(
        document["errors"],
        json!([
            {"pointer": "/name", "detail": "Too long."},
            {"pointer": "/price", "detail": "Too low."},
        ])
    );
}

#[tokio::test]
async fn a_wait_is_rounded_up_to_whole_seconds() {
    for (wait, header) in [(1, "1"), (1000, "1"), (1001, "2"), (0, "1")] {
        let problem = Problem::too_many_attempts(Duration::from_millis(wait));
        assert_eq!(
            Answer::of(problem.into_response())
                .await
                .header("retry-after"),
            header
        );
    }
}
