//! What a retry does, over HTTP: at most one effect, and the first answer again.

use std::sync::Arc;

use command_api::http::HttpSettings;
use domain::ids::UserId;
use domain::user::Role;
use futures::future::join_all;
use personal_data::Secrets;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::{Answer, Shop};

async fn place(shop: &Shop, token: &str, key: &str, body: &str) -> Answer {
    let call = shop.post("/v1/orders").bearer(token).key(key);
    call.text("application/json", body).send().await
}

fn lines(sku: &str, quantity: i64) -> String {
    json!({"lines": [{"sku": sku, "quantity": quantity}]}).to_string()
}

#[tokio::test]
async fn what_moves_stock_or_money_needs_a_key() {
    let shop = Shop::open();
    shop.stock("A", 1).await;
    let staff = shop.token(Role::Staff);
    let order = json!({"lines": [{"sku": "A", "quantity": 1}]});
    let movement = json!({"quantity": 1, "reason": "received"});
    for (path, body) in [
        ("/v1/orders", order),
        ("/v1/inventory/A/movements", movement),
    ] {
        let without = shop.post(path).bearer(&staff).json(&body).send().await;
        without.problem(400, "idempotency-key-missing");
        for bad in ["", "a b", &"k".repeat(256)] {
            let call = shop.post(path).bearer(&staff).key(bad).json(&body);
            call.send().await.problem(400, "malformed-header");
        }
        let longest = format!("{:k>255}", path.len());
        let call = shop.post(path).bearer(&staff).key(&longest).json(&body);
        call.send().await.is(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_in_flight_with_one_key_place_one_order() {
    let shop = Shop::open();
    shop.stock("A", 10).await;
    let token = shop.token(Role::Customer);
    let body = lines("A", 1);
    let answers = join_all((0..8).map(|_| place(&shop, &token, "k", &body))).await;
    let ids: Vec<_> = answers.iter().map(|answer| answer.str("id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let first = answers
        .iter()
        .filter(|answer| !answer.is_replayed())
        .count();
    assert_eq!(first, 1);
    shop.order(&token, "A", 9).await.is(201);
}

#[tokio::test]
async fn a_retry_is_told_by_what_it_says_and_not_by_its_bytes() {
    let shop = Shop::open();
    shop.stock("A", 10).await;
    let user = UserId(Uuid::now_v7());
    let token = shop.token_of(user, Role::Customer);
    let first = place(&shop, &token, "k", &lines("A", 1)).await.is(201);
    for body in [
        r#"{"lines":[{"quantity":1,"sku":"A"}]}"#,
        "{ \"lines\" : [ { \"sku\" : \"A\",\n \"quantity\" : 1 } ] }",
        r#"{"lines":[{"sku":"\u0041","quantity":1}]}"#,
    ] {
        let later = shop.token_of(user, Role::Staff);
        let again = place(&shop, &later, "k", body).await.is(201);
        assert!(again.is_replayed());
        assert_eq!(again.json(), first.json());
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(
            again.header("consistency-token"),
            first.header("consistency-token")
        );
    }
    let other = place(&shop, &token, "k", &lines("A", 2)).await;
    other.problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn a_key_belongs_to_its_user_method_and_path() {
    let shop = Shop::open();
    shop.stock("A", 10).await;
    let (first, second) = (shop.token(Role::Customer), shop.token(Role::Customer));
    let ours = place(&shop, &first, "k", &lines("A", 1)).await.is(201);
    let theirs = place(&shop, &second, "k", &lines("A", 1)).await.is(201);
    assert!(!theirs.is_replayed());
    assert_ne!(ours.str("id"), theirs.str("id"));
    let cancel = format!("/v1/orders/{}/cancellation", ours.str("id"));
    let elsewhere = shop.post(&cancel).bearer(&first).key("k").send().await;
    elsewhere.problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn a_refusal_is_remembered_too() {
    let shop = Shop::open();
    shop.stock("A", 1).await;
    let token = shop.token(Role::Customer);
    let refused = place(&shop, &token, "k", &lines("A", 2)).await;
    assert!(!refused.problem(409, "out-of-stock").is_replayed());
    let unknown = place(&shop, &token, "u", &lines("B", 1)).await;
    unknown.problem(422, "unknown-sku");
    shop.stock("B", 1).await;
    let staff = shop.token(Role::Staff);
    let set = json!({"available": 5, "expected": 1});
    shop.put("/v1/inventory/A/stock")
        .bearer(&staff)
        .json(&set)
        .send()
        .await
        .is(200);
    let again = place(&shop, &token, "k", &lines("A", 2)).await;
    let again = again.problem(409, "out-of-stock");
    assert!(again.is_replayed());
    assert_eq!(again.json()["available"], 1);
    let again = place(&shop, &token, "u", &lines("B", 1))
        .await
        .problem(422, "unknown-sku");
    assert!(again.is_replayed());
    assert_eq!(again.pointer(), "/lines/0/sku");
}

#[tokio::test]
async fn every_other_write_takes_a_key_and_gives_its_first_answer_again() {
    let shop = Shop::open();
    shop.stock("A", 5).await;
    let staff_id = UserId(Uuid::now_v7());
    let staff = shop.token_of(staff_id, Role::Staff);
    let order = shop.order(&staff, "A", 1).await.is(201).str("id");
    let cancel = format!("/v1/orders/{order}/cancellation");
    let item = json!({"name": "B", "price": {"amount": 1, "currency": "EUR"}});
    let calls: [(&str, &str, Option<Value>, u16); 5] = [
        ("POST", &cancel, Some(json!({})), 200),
        ("PUT", "/v1/inventory/B", Some(item), 201),
        (
            "PUT",
            "/v1/inventory/A/stock",
            Some(json!({"available": 8, "expected": 5})),
            200,
        ),
        (
            "POST",
            "/v1/inventory/A/movements",
            Some(json!({"quantity": 1, "reason": "lost"})),
            201,
        ),
        ("DELETE", "/v1/inventory/A", None, 204),
    ];
    for (index, (method, path, body, status)) in calls.iter().enumerate() {
        let send = async || {
            let call = shop
                .call(method, path)
                .bearer(&staff)
                .key(&format!("k{index}"));
            match body {
                Some(body) => call.json(body).send().await,
                None => call.send().await,
            }
        };
        let first = send().await.is(*status);
        let again = send().await.is(*status);
        assert!(again.is_replayed(), "{path}");
        assert_eq!(again.text, first.text, "{path}");
        assert_eq!(
            again.header("consistency-token"),
            first.header("consistency-token")
        );
    }
}

#[tokio::test]
async fn a_repeated_registration_is_compared_by_its_password_too() {
    let shop = Shop::open();
    let register = async |key: &str, password: &str, name: &str| {
        let user = json!({"email": "kim@shop.example", "password": password, "name": name});
        shop.post("/v1/users").key(key).json(&user).send().await
    };
    let first = register("k", "correct horse", "Kim").await.is(201);
    let again = register("k", "correct horse", "Kim").await.is(201);
    assert!(again.is_replayed());
    assert_eq!(again.json(), first.json());
    let reused = register("k", "another horse", "Kim").await;
    reused.problem(422, "idempotency-key-reused");
    let reused = register("k", "correct horse", "Sam").await;
    reused.problem(422, "idempotency-key-reused");
    register("k2", "correct horse", "Kim")
        .await
        .problem(409, "email-taken");
}

#[tokio::test]
async fn a_first_answer_stays_what_it_was() {
    let shop = Shop::open();
    let user = shop
        .register("kim@shop.example", "correct horse")
        .await
        .is(201)
        .str("id");
    let id: UserId = user.parse().unwrap();
    let rename = async |key: &str, name: &str| {
        let call = shop
            .call("PATCH", "/v1/users/me")
            .bearer(&shop.token_of(id, Role::Customer));
        call.key(key)
            .json(&json!({"name": name}))
            .send()
            .await
            .is(200)
    };
    let admin = UserId(Uuid::now_v7());
    let set_role = async |key: &str, role: &str| {
        let call = shop.put(&format!("/v1/users/{user}/role"));
        let call = call.bearer(&shop.token_of(admin, Role::Admin)).key(key);
        call.json(&json!({"role": role})).send().await.is(200)
    };
    let put = async |key: &str, name: &str, price: i64| {
        let price = json!({"amount": price, "currency": "EUR"});
        let call = shop
            .put("/v1/inventory/A")
            .bearer(&shop.token_of(admin, Role::Staff))
            .key(key);
        call.json(&json!({"name": name, "price": price}))
            .send()
            .await
    };
    let renamed = rename("1", "Sam").await.json();
    rename("2", "Max").await;
    assert_eq!(rename("1", "Sam").await.json(), renamed);
    let promoted = set_role("3", "staff").await;
    set_role("4", "admin").await;
    let again = set_role("3", "staff").await;
    assert!(again.is_replayed());
    assert_eq!(again.str("role"), promoted.str("role"));
    let created = put("5", "Lamp", 1).await.is(201).json();
    put("6", "Desk", 2).await.is(200);
    assert_eq!(put("5", "Lamp", 1).await.is(201).json(), created);
}

#[tokio::test]
async fn a_session_takes_no_notice_of_a_key() {
    let shop = Shop::open();
    shop.register("kim@shop.example", "correct horse")
        .await
        .is(201);
    let body = json!({"email": "kim@shop.example", "password": "correct horse"});
    let first = shop
        .post("/v1/sessions")
        .key("k")
        .json(&body)
        .send()
        .await
        .is(201);
    let second = shop
        .post("/v1/sessions")
        .key("k")
        .json(&body)
        .send()
        .await
        .is(201);
    assert_ne!(first.str("refresh_token"), second.str("refresh_token"));
}

#[tokio::test]
async fn a_key_outlives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let open = || Shop::over(directory.path(), &secrets, HttpSettings::default());
    let user = UserId(Uuid::now_v7());
    let shop = open();
    shop.stock("A", 3).await;
    let token = shop.token_of(user, Role::Customer);
    let first = place(&shop, &token, "k", &lines("A", 1)).await.is(201);
    drop(shop);
    let shop = open();
    let token = shop.token_of(user, Role::Customer);
    let again = place(&shop, &token, "k", &lines("A", 1)).await.is(201);
    assert!(again.is_replayed());
    assert_eq!(again.json(), first.json());
    shop.order(&token, "A", 3)
        .await
        .problem(409, "out-of-stock");
    shop.order(&token, "A", 2).await.is(201);
}
