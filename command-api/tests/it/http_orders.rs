//! Placing and cancelling orders over HTTP.

use domain::ids::UserId;
use domain::user::Role;
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::{Answer, Shop, fresh_key};

async fn place(shop: &Shop, token: &str, lines: Value) -> Answer {
    let call = shop.post("/v1/orders").bearer(token).key(&fresh_key());
    call.json(&json!({"lines": lines})).send().await
}

async fn cancel(shop: &Shop, token: &str, order: &str) -> Answer {
    let path = format!("/v1/orders/{order}/cancellation");
    shop.post(&path).bearer(token).send().await
}

#[tokio::test]
async fn a_placed_order_is_answered_whole_with_its_place_in_the_log() {
    let shop = Shop::open();
    shop.stock("A", 5).await;
    let user = UserId(Uuid::now_v7());
    let token = shop.token_of(user, Role::Customer);
    let lines = json!([{"sku": "A", "quantity": 1}, {"sku": "A", "quantity": 2}]);
    let answer = place(&shop, &token, lines).await.is(201);
    let order = answer.json();
    let id = answer.str("id");
    assert_eq!(answer.header("location"), format!("/v1/orders/{id}"));
    assert_ne!(answer.header("consistency-token"), "");
    assert!(!answer.is_replayed());
    let price = json!({"amount": 1999, "currency": "EUR"});
    let total = json!({"amount": 5997, "currency": "EUR"});
    let expected = json!({
        "id": id, "user_id": user, "status": "placed",
        "lines": [{
            "sku": "A", "name": "Lamp", "quantity": 3, "unit_price": price, "total": total,
        }],
        "total": total, "placed_at": order["placed_at"], "cancelled_at": null,
        "cancellation_reason": null,
    });
    assert_eq!(order, expected);
}

#[tokio::test]
async fn an_order_of_more_than_is_there_says_how_much_is() {
    let shop = Shop::open();
    shop.stock("A", 5).await;
    let token = shop.token(Role::Customer);
    let refused = shop.order(&token, "A", 6).await;
    let refused = refused.problem(409, "out-of-stock").json();
    assert_eq!(refused["sku"], "A");
    assert_eq!(refused["requested"], 6);
    assert_eq!(refused["available"], 5);
    shop.order(&token, "A", 5).await.is(201);
}

#[tokio::test]
async fn all_lines_are_taken_or_none() {
    let shop = Shop::open();
    shop.stock("A", 5).await;
    shop.stock("B", 1).await;
    let token = shop.token(Role::Customer);
    let lines = json!([{"sku": "A", "quantity": 5}, {"sku": "B", "quantity": 2}]);
    place(&shop, &token, lines)
        .await
        .problem(409, "out-of-stock");
    shop.order(&token, "A", 5).await.is(201);
}

#[tokio::test]
async fn an_unknown_sku_is_pointed_at() {
    let shop = Shop::open();
    shop.stock("A", 5).await;
    let token = shop.token(Role::Customer);
    let lines = json!([{"sku": "A", "quantity": 1}, {"sku": "a", "quantity": 1}]);
    let refused = place(&shop, &token, lines)
        .await
        .problem(422, "unknown-sku");
    assert_eq!(refused.pointer(), "/lines/1/sku");
    assert_eq!(refused.json()["sku"], "a");
}

#[tokio::test]
async fn a_discontinued_item_takes_no_orders() {
    let shop = Shop::open();
    shop.stock("A", 5).await;
    let staff = shop.token(Role::Staff);
    shop.delete("/v1/inventory/A")
        .bearer(&staff)
        .send()
        .await
        .is(204);
    let refused = shop
        .order(&staff, "A", 1)
        .await
        .problem(409, "discontinued");
    assert_eq!(refused.json()["sku"], "A");
}

#[tokio::test]
async fn lines_are_limited_in_number_and_in_sum() {
    let shop = Shop::open();
    let token = shop.token(Role::Customer);
    let none = place(&shop, &token, json!([]))
        .await
        .problem(422, "invalid-body");
    assert_eq!(none.pointer(), "/lines");
    let line = json!({"sku": "A", "quantity": 1});
    let many = place(&shop, &token, json!(vec![line; 101])).await;
    assert_eq!(many.problem(422, "invalid-body").pointer(), "/lines");
    let half = json!({"sku": "A", "quantity": 500_001});
    let sum = place(&shop, &token, json!([half, half])).await;
    assert_eq!(
        sum.problem(422, "invalid-body").pointer(),
        "/lines/1/quantity"
    );
}

#[tokio::test]
async fn a_total_beyond_what_every_reader_holds_is_refused() {
    let shop = Shop::open();
    let staff = shop.token(Role::Staff);
    let item = json!({"name": "X", "price": {"amount": 1_000_000_000_000_i64, "currency": "EUR"}});
    shop.put("/v1/inventory/X")
        .bearer(&staff)
        .json(&item)
        .send()
        .await
        .is(201);
    let refused = shop.order(&staff, "X", 1_000_000).await;
    assert_eq!(refused.problem(422, "total-too-large").json()["sku"], "X");
}

#[tokio::test]
async fn a_cancellation_comes_with_or_without_a_body() {
    let shop = Shop::open();
    shop.stock("A", 4).await;
    let token = shop.token(Role::Customer);
    let order = async || shop.order(&token, "A", 1).await.is(201).str("id");
    let path = |id: String| format!("/v1/orders/{id}/cancellation");
    let call = async || shop.post(&path(order().await)).bearer(&token);
    call().await.send().await.is(200);
    call()
        .await
        .text("application/json", "")
        .send()
        .await
        .is(200);
    call()
        .await
        .text("application/json", "{}")
        .send()
        .await
        .is(200);
    let reason = json!({"reason": "changed my mind"});
    let cancelled = call().await.json(&reason).send().await.is(200).json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["cancellation_reason"], "changed my mind");
    assert!(cancelled["cancelled_at"].is_string());
    shop.order(&token, "A", 4).await.is(201);
}

#[tokio::test]
async fn an_order_is_cancelled_by_its_owner_or_staff_and_by_nobody_else() {
    let shop = Shop::open();
    shop.stock("A", 2).await;
    let (owner, other) = (shop.token(Role::Customer), shop.token(Role::Customer));
    let first = shop.order(&owner, "A", 1).await.is(201).str("id");
    let second = shop.order(&owner, "A", 1).await.is(201).str("id");
    cancel(&shop, &other, &first)
        .await
        .problem(404, "not-found");
    cancel(&shop, &owner, &first).await.is(200);
    cancel(&shop, &shop.token(Role::Staff), &second)
        .await
        .is(200);
    cancel(&shop, &other, &first)
        .await
        .problem(404, "not-found");
    cancel(&shop, &owner, &first)
        .await
        .problem(409, "already-cancelled");
    let nowhere = cancel(&shop, &owner, &Uuid::now_v7().to_string()).await;
    assert!(
        nowhere
            .problem(404, "not-found")
            .str("detail")
            .contains("GET")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_parallel_cancels_give_the_units_back_once() {
    let shop = Shop::open();
    shop.stock("A", 3).await;
    let token = shop.token(Role::Customer);
    let order = shop.order(&token, "A", 3).await.is(201).str("id");
    let answers = join_all((0..10).map(|_| cancel(&shop, &token, &order))).await;
    let (cancelled, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((cancelled.len(), refused.len()), (1, 9));
    for answer in refused {
        answer.problem(409, "already-cancelled");
    }
    shop.order(&token, "A", 4)
        .await
        .problem(409, "out-of-stock");
    shop.order(&token, "A", 3).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_buyers_of_five_units_get_five() {
    let shop = Shop::open();
    shop.stock("A", 5).await;
    let tokens: Vec<_> = (0..100).map(|_| shop.token(Role::Customer)).collect();
    let answers = join_all(tokens.iter().map(|token| shop.order(token, "A", 1))).await;
    let placed = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(placed, 5);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        let refused = answer.problem(409, "out-of-stock").json();
        assert_eq!(refused["available"], 0);
    }
}
