use domain::ids::UserId;
use domain::user::Role;
use proptest::prelude::*;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::shop::Shop;

/// Text that is likely to reach somewhere: names of the API, numbers, and anything escaped.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "v1",
        "orders",
        "inventory",
        "users",
        "me",
        "movements",
        "events",
        "LAMP",
        "limit",
        "cursor",
        "status",
        "placed",
        "q",
        "category",
        "in_stock",
        "true",
        "email",
        "user",
        "1",
        "0",
        "-1",
        "99999999999999999999",
        "a+b@c.example",
        "00000000-0000-0000-0000-000000000001",
        "%",
        "%00",
        "%FF",
        "%E2%82",
        "'",
        "\"",
        "%27%20OR%201=1--",
        "%F0%9F%92%A9",
        "..",
        "AAAA",
    ]);
    let any = any::<Vec<u8>>()
        .prop_map(|bytes| bytes.iter().map(|byte| format!("%{byte:02x}")).collect());
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => any]
}

fn path() -> impl Strategy<Value = String> {
    let route = prop::sample::select(vec![
        "/v1/orders",
        "/v1/inventory",
        "/v1/users",
        "/v1/users/me",
        "/v1/inventory/LAMP/movements",
    ]);
    let made_up =
        prop::collection::vec(piece(), 0..4).prop_map(|pieces| format!("/v1/{}", pieces.join("/")));
    let query = prop::collection::vec((piece(), piece()), 0..4).prop_map(|pairs| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("&")
    });
    let route = prop_oneof![route.prop_map(str::to_owned), made_up];
    (route, query).prop_map(|(route, query)| format!("{route}?{query}"))
}

/// A header's value of whatever HTTP allows.
fn header() -> impl Strategy<Value = String> {
    "[ -~]{0,60}"
}

#[test]
fn no_request_however_malformed_is_answered_with_a_defect() {
    let runtime = Runtime::new().unwrap();
    let shop = runtime.block_on(async {
        let shop = Shop::open().await;
        shop.register(1, "kim@shop.example", Role::Admin).await;
        shop.create_item("LAMP", "Lamp", None).await;
        shop.catch_up().await;
        shop
    });
    let bearer = shop.bearer(UserId(Uuid::from_u128(1)), Role::Admin);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    };
    proptest!(config, |(path in path(), token in header(), prefer in header(), authorised: bool)| {
        let authorization = if authorised { bearer.as_str() } else { token.as_str() };
        let mut headers = vec![("authorization", authorization), ("prefer", prefer.as_str())];
        if token.len() % 2 == 1 {
            headers.push(("consistency-token", &token));
        }
        if path.parse::<axum::http::Uri>().is_ok() {
            let answer = runtime.block_on(shop.ask("GET", &path, &headers));
            prop_assert!(answer.status.as_u16() < 500, "{} {:?}", path, answer);
            if answer.status.as_u16() >= 400 {
                answer.code();
            }
        }
    });
}

#[tokio::test]
async fn head_is_answered_as_get_without_a_body_and_other_methods_are_a_405() {
    let shop = Shop::open().await;
    shop.create_item("LAMP", "Lamp", None).await;
    shop.catch_up().await;
    let head = shop.ask("HEAD", "/v1/inventory/LAMP", &[]).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    assert_eq!(head.header("cache-control"), "no-cache");
    for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
        let answer = shop.ask(method, "/v1/inventory/LAMP", &[]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (405, "method-not-allowed")
        );
        assert_eq!(answer.header("allow"), "GET,HEAD");
    }
}
