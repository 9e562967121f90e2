//! What holds at every route: who is let in, how a body is read, and that nothing that a client
//! can send is answered with a defect.

use axum::http::StatusCode;
use domain::ids::{SessionId, UserId};
use domain::time::Time;
use domain::user::Role;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::{Answer, Shop, fresh_key, signer};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Anyone,
    Bearer,
    Staff,
    Admin,
}

struct Route {
    method: &'static str,
    path: &'static str,
    who: Who,
    /// A body that would be taken; `None` where none is.
    body: Option<Value>,
}

const ID: &str = "01890000-0000-7000-8000-000000000000";

/// Every write of the contract.
fn table() -> Vec<Route> {
    let route = |method, path, who, body| Route {
        method,
        path,
        who,
        body,
    };
    let (email, password) = ("kim@shop.example", "correct horse");
    let price = json!({"amount": 1, "currency": "EUR"});
    vec![
        route(
            "POST",
            "/v1/users",
            Who::Anyone,
            Some(json!({"email": email, "password": password, "name": "Kim"})),
        ),
        route(
            "PATCH",
            "/v1/users/me",
            Who::Bearer,
            Some(json!({"name": "Kim"})),
        ),
        route(
            "PUT",
            "/v1/users/me/password",
            Who::Bearer,
            Some(json!({"current": password, "new": password})),
        ),
        route(
            "PUT",
            "/v1/users/01890000-0000-7000-8000-000000000000/role",
            Who::Admin,
            Some(json!({"role": "staff"})),
        ),
        route(
            "POST",
            "/v1/sessions",
            Who::Anyone,
            Some(json!({"email": email, "password": password})),
        ),
        route(
            "POST",
            "/v1/sessions/refresh",
            Who::Anyone,
            Some(json!({"refresh_token": "x"})),
        ),
        route("DELETE", "/v1/sessions/current", Who::Bearer, None),
        route(
            "PUT",
            "/v1/inventory/A",
            Who::Staff,
            Some(json!({"name": "A", "price": price})),
        ),
        route(
            "POST",
            "/v1/inventory/A/movements",
            Who::Staff,
            Some(json!({"quantity": 1, "reason": "received"})),
        ),
        route(
            "PUT",
            "/v1/inventory/A/stock",
            Who::Staff,
            Some(json!({"available": 1, "expected": 1})),
        ),
        route("POST", "/v1/inventory/import", Who::Staff, None),
        route("DELETE", "/v1/inventory/A", Who::Staff, None),
        route(
            "POST",
            "/v1/orders",
            Who::Bearer,
            Some(json!({"lines": [{"sku": "A", "quantity": 1}]})),
        ),
        route(
            "POST",
            "/v1/orders/01890000-0000-7000-8000-000000000000/cancellation",
            Who::Bearer,
            Some(json!({})),
        ),
    ]
}

async fn send(
    shop: &Shop,
    route: &Route,
    authorization: Option<&str>,
    body: Option<&Value>,
) -> Answer {
    let mut call = shop.call(route.method, route.path).key(&fresh_key());
    if let Some(authorization) = authorization {
        call = call.header("authorization", authorization);
    }
    if let Some(body) = body {
        call = call.json(body);
    }
    call.send().await
}

#[tokio::test]
async fn no_route_but_those_for_anyone_lets_in_without_a_good_token() {
    let shop = Shop::open();
    let (user, session) = (UserId(Uuid::now_v7()), SessionId(Uuid::now_v7()));
    let now = Time::from_microseconds(contract::token::now().microseconds() - 601_000_000);
    let expired = shop.signer.sign(user, Role::Admin, session, now);
    let foreign = signer().sign(user, Role::Admin, session, contract::token::now());
    let good = shop.token(Role::Admin);
    let changed = format!("{}A", &good[..good.len() - 1]);
    let bad = [
        "",
        "Bearer",
        "Basic a2ltOmtpbQ==",
        "Bearer x",
        &format!("Bearer {expired}"),
        &format!("Bearer {foreign}"),
        &format!("Bearer {changed}x"),
    ];
    for route in table().iter().filter(|route| route.who != Who::Anyone) {
        let headers = bad.iter().map(|header| Some(*header)).chain([None]);
        for authorization in headers {
            // A body that is not valid must not come before the question who asks.
            let refused = send(&shop, route, authorization, Some(&json!([]))).await;
            let refused = refused.problem(401, "unauthorized");
            assert!(
                refused.header("www-authenticate").starts_with("Bearer"),
                "{}",
                route.path
            );
        }
    }
}

#[tokio::test]
async fn no_route_lets_in_a_role_that_is_too_low() {
    let shop = Shop::open();
    let ranks = [(Role::Customer, Who::Bearer), (Role::Staff, Who::Staff)];
    for route in table() {
        for (role, may) in ranks {
            let rank = |who| {
                [Who::Anyone, Who::Bearer, Who::Staff, Who::Admin]
                    .iter()
                    .position(|w| *w == who)
            };
            if rank(route.who) <= rank(may) {
                continue;
            }
            let token = format!("Bearer {}", shop.token(role));
            let refused = send(&shop, &route, Some(&token), Some(&json!([]))).await;
            refused.problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn an_impossible_path_value_is_a_404_before_anything_else_is_read() {
    let shop = Shop::open();
    let admin = shop.token(Role::Admin);
    for (method, path) in [
        ("PUT", "/v1/inventory/-a"),
        ("PUT", "/v1/inventory/a%20b"),
        ("PUT", "/v1/inventory/%FF"),
        ("PUT", "/v1/inventory/a%2Fb/stock"),
        ("DELETE", "/v1/inventory/%C3%A4"),
        ("POST", "/v1/orders/1/cancellation"),
        (
            "POST",
            "/v1/orders/01890000-0000-7000-8000-00000000000G/cancellation",
        ),
        (
            "POST",
            "/v1/orders/01890000000070008000000000000000/cancellation",
        ),
        ("PUT", "/v1/users/me/role"),
        ("POST", "/v1/nothing"),
    ] {
        let call = shop.call(method, path).bearer(&admin).json(&json!([]));
        call.send().await.problem(404, "not-found");
    }
    let long = format!("/v1/inventory/{}", "a".repeat(65));
    let call = shop.put(&long).bearer(&admin).json(&json!([]));
    call.send().await.problem(404, "not-found");
}

#[tokio::test]
async fn another_method_is_a_405() {
    let shop = Shop::open();
    for (method, path) in [
        ("PATCH", "/v1/orders"),
        ("POST", "/v1/users/me"),
        ("PUT", "/v1/sessions"),
    ] {
        let refused = shop.call(method, path).send().await;
        assert_ne!(
            refused.problem(405, "method-not-allowed").header("allow"),
            ""
        );
    }
}

#[tokio::test]
async fn every_body_is_read_strictly() {
    let shop = Shop::open();
    let admin = shop.token(Role::Admin);
    for route in table().iter().filter(|route| route.body.is_some()) {
        let call = || shop.call(route.method, route.path).bearer(&admin).key("k");
        let json = async |body: &str| call().text("application/json", body).send().await;
        for broken in ["{", "nonsense", "{} {}", "\u{feff}{}", "{'a':1}"] {
            json(broken).await.problem(400, "malformed-body");
        }
        for invalid in ["[]", "null", "1", r#"{"surprise":1}"#, r#"{"a":1,"a":1}"#] {
            json(invalid).await.problem(422, "invalid-body");
        }
        let not_utf_8 = call().bytes("application/json", vec![b'"', 0xFF, b'"']);
        not_utf_8.send().await.problem(400, "malformed-body");
        let other = call().text("text/plain", "{}").send().await;
        other.problem(415, "unsupported-media-type");
        let long = call().text("application/json", &" ".repeat(64 * 1024 + 1));
        long.send().await.problem(413, "body-too-large");
        if !route.path.ends_with("cancellation") {
            call().send().await.problem(400, "missing-body");
            json("{}").await.problem(422, "invalid-body");
        }
    }
}

#[tokio::test]
async fn an_answer_is_nobody_elses_and_names_its_request() {
    let shop = Shop::open();
    for route in table() {
        let token = format!("Bearer {}", shop.token(Role::Admin));
        let answer = send(&shop, &route, Some(&token), route.body.as_ref()).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{}", route.path);
        assert_ne!(answer.header("x-request-id"), "", "{}", route.path);
        if answer.status.is_success() {
            assert_ne!(answer.header("consistency-token"), "", "{}", route.path);
        }
    }
}

#[test]
fn the_document_lists_every_route_of_the_table() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut document = runtime.block_on(async { Shop::open().document });
    contract::openapi::describe_responses(&mut document);
    let document = serde_json::to_value(document).unwrap();
    for route in table() {
        let path = route.path.replace(&format!("users/{ID}"), "users/{id}");
        let path = path.replace(&format!("orders/{ID}"), "orders/{id}");
        let path = path.replace("/inventory/A", "/inventory/{sku}");
        let operation = &document["paths"][&path][route.method.to_lowercase()];
        assert!(operation.is_object(), "{} {path}", route.method);
        let responses = operation["responses"].as_object().unwrap();
        for response in responses.values() {
            assert_ne!(response["description"], "", "{path}");
        }
        let success = responses
            .iter()
            .find(|(status, _)| status.starts_with('2'))
            .unwrap();
        assert!(
            success.1["headers"]["consistency-token"].is_object(),
            "{path}"
        );
        assert_eq!(
            operation["security"].is_array(),
            route.who != Who::Anyone,
            "{path}"
        );
    }
}

/// JSON as a client with a bad day sends it.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("lines"),
        Just("sku"),
        Just("quantity"),
        Just("name"),
        Just("price"),
        Just("amount"),
        Just("currency"),
        Just("email"),
        Just("password"),
        Just("reason"),
        Just("available"),
        Just("expected"),
        Just("role"),
        Just("current"),
        Just("new"),
        Just("refresh_token"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("A"),
            Just("EUR"),
            Just("received"),
            Just("kim@shop.example")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 5, move |inner| {
        let members = proptest::collection::vec((names.clone(), inner.clone()), 0..5);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

#[test]
fn nothing_that_a_client_can_send_is_answered_with_a_defect() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shop = runtime.block_on(async {
        let shop = Shop::open();
        shop.stock("A", 5).await;
        shop
    });
    let token = format!("Bearer {}", shop.token(Role::Admin));
    let config = ProptestConfig {
        cases: 100,
        ..ProptestConfig::default()
    };
    proptest!(config, |(body in any_json(), raw in proptest::collection::vec(any::<u8>(), 0..64))| {
        runtime.block_on(async {
            for route in table() {
                let answer = send(&shop, &route, Some(&token), Some(&body)).await;
                check(&route, &answer);
                let call = shop.call(route.method, route.path).key("k").header("authorization", &token);
                check(&route, &call.bytes("application/json", raw.clone()).send().await);
            }
        });
    });
}

fn check(route: &Route, answer: &Answer) {
    assert!(
        !answer.status.is_server_error(),
        "{} {}: {answer:?}",
        route.method,
        route.path
    );
    if answer.status >= StatusCode::BAD_REQUEST {
        answer.code();
    }
}
