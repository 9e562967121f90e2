//! The catalogue and the supply of stock over HTTP.

use domain::user::Role;
use serde_json::{Value, json};

use crate::http::{Answer, Shop, fresh_key};

struct Staff {
    shop: Shop,
    token: String,
}

impl Staff {
    fn open() -> Self {
        let shop = Shop::open();
        let token = shop.token(Role::Staff);
        Self { shop, token }
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        let call = self.shop.put(&format!("/v1/inventory/{path}"));
        call.bearer(&self.token).json(&body).send().await
    }

    async fn put_price(&self, amount: Value) -> Answer {
        let price = json!({"amount": amount, "currency": "EUR"});
        self.put("A", json!({"name": "Lamp", "price": price})).await
    }

    async fn move_stock(&self, sku: &str, body: Value) -> Answer {
        let call = self.shop.post(&format!("/v1/inventory/{sku}/movements"));
        call.bearer(&self.token)
            .key(&fresh_key())
            .json(&body)
            .send()
            .await
    }

    async fn receive(&self, quantity: i64) -> Answer {
        self.move_stock("A", json!({"quantity": quantity, "reason": "received"}))
            .await
    }

    async fn delete(&self, sku: &str) -> Answer {
        let call = self.shop.delete(&format!("/v1/inventory/{sku}"));
        call.bearer(&self.token).send().await
    }
}

#[tokio::test]
async fn an_item_is_created_then_changed_and_answered_whole() {
    let staff = Staff::open();
    let price = json!({"amount": 1999, "currency": "EUR"});
    let item = json!({"name": "Lamp", "price": price, "category": "light"});
    let created = staff.put("A", item.clone()).await.is(201);
    assert_ne!(created.header("consistency-token"), "");
    let expected = json!({
        "sku": "A", "name": "Lamp", "price": price, "category": "light", "status": "active",
        "available": 0, "held": 0, "sold": 0, "supplied": 0, "settling": false,
    });
    assert_eq!(created.json(), expected);
    let again = staff.put("A", item).await.is(200);
    assert_eq!(again.json(), expected);
    let changed = staff
        .put("A", json!({"name": "Lamp 2", "price": price}))
        .await
        .is(200);
    assert_eq!(changed.json()["name"], "Lamp 2");
    assert_eq!(changed.json()["category"], Value::Null);
}

#[tokio::test]
async fn a_price_is_in_the_shops_currency_and_within_its_bounds() {
    let staff = Staff::open();
    let dollars = json!({"name": "Lamp", "price": {"amount": 1, "currency": "USD"}});
    let refused = staff.put("A", dollars).await.problem(422, "invalid-body");
    assert_eq!(refused.pointer(), "/price/currency");
    let bad: [Value; 7] = [
        json!(-1),
        json!(1_000_000_000_001_i64),
        json!((1_i64 << 53) - 1),
        json!((1_i64 << 53) + 1),
        json!(i64::MAX),
        json!(1_u64 << 63),
        json!(19.99),
    ];
    for amount in bad {
        let refused = staff.put_price(amount).await.problem(422, "invalid-body");
        assert_eq!(refused.pointer(), "/price/amount");
    }
    staff.put_price(json!(0)).await.is(201);
    staff.put_price(json!(1_000_000_000_000_i64)).await.is(200);
}

#[tokio::test]
async fn movements_add_and_take_what_is_available() {
    let staff = Staff::open();
    staff.put_price(json!(100)).await.is(201);
    let received = staff.receive(10).await.is(201);
    assert_ne!(received.header("consistency-token"), "");
    assert_eq!(received.json()["available"], 10);
    staff.shop.order(&staff.token, "A", 4).await.is(201);
    let lost = json!({"quantity": -1, "reason": "lost", "reference": "shelf 3"});
    let lost = staff.move_stock("A", lost).await.is(201).json();
    let figures = ["available", "held", "sold", "supplied"].map(|name| lost[name].as_i64());
    assert_eq!(figures, [Some(5), Some(4), Some(0), Some(9)]);
    let refused = staff.receive(-6).await.problem(409, "out-of-stock").json();
    assert_eq!(
        (&refused["requested"], &refused["available"]),
        (&json!(6), &json!(5))
    );
}

#[tokio::test]
async fn what_was_never_in_the_catalogue_has_no_stock() {
    let staff = Staff::open();
    staff.receive(1).await.problem(404, "not-found");
    let set = json!({"available": 1, "expected": 0});
    staff.put("A/stock", set).await.problem(404, "not-found");
    staff.delete("A").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_movement_is_of_at_most_a_million_units_and_has_a_known_reason() {
    let staff = Staff::open();
    staff.put_price(json!(100)).await.is(201);
    for quantity in [0, 1_000_001, -1_000_001] {
        let refused = staff.receive(quantity).await.problem(422, "invalid-body");
        assert_eq!(refused.pointer(), "/quantity");
    }
    let sold = json!({"quantity": -1, "reason": "sold"});
    let refused = staff
        .move_stock("A", sold)
        .await
        .problem(422, "invalid-body");
    assert_eq!(refused.pointer(), "/reason");
}

#[tokio::test]
async fn stock_is_set_only_from_what_it_is() {
    let staff = Staff::open();
    staff.put_price(json!(100)).await.is(201);
    let set = async |available: i64, expected: i64| {
        let body = json!({"available": available, "expected": expected});
        staff.put("A/stock", body).await
    };
    assert_eq!(set(7, 0).await.is(200).json()["available"], 7);
    let refused = set(9, 0).await.problem(409, "stock-changed").json();
    assert_eq!(refused["available"], 7);
    assert_eq!(set(7, 7).await.is(200).json()["supplied"], 7);
    assert_eq!(set(0, 7).await.is(200).json()["supplied"], 0);
    let refused = set(-1, 1_000_000_000_001)
        .await
        .problem(422, "invalid-body")
        .json();
    assert_eq!(refused["errors"][0]["pointer"], "/available");
    assert_eq!(refused["errors"][1]["pointer"], "/expected");
}

#[tokio::test]
async fn what_is_supplied_has_a_limit() {
    let staff = Staff::open();
    staff.put_price(json!(100)).await.is(201);
    let most = json!({"available": 1_000_000_000_000_i64, "expected": 0});
    staff.put("A/stock", most).await.is(200);
    let refused = staff.receive(1).await.problem(409, "stock-limit");
    assert_eq!(refused.json()["sku"], "A");
}

#[tokio::test]
async fn a_discontinued_item_comes_back_by_putting_it() {
    let staff = Staff::open();
    staff.put_price(json!(100)).await.is(201);
    let gone = staff.delete("A").await.is(204);
    assert_ne!(gone.header("consistency-token"), "");
    assert_eq!(gone.text, "");
    staff.delete("A").await.is(204);
    assert_eq!(
        staff.receive(1).await.is(201).json()["status"],
        "discontinued"
    );
    assert_eq!(
        staff.put_price(json!(100)).await.is(200).json()["status"],
        "active"
    );
    staff.shop.order(&staff.token, "A", 1).await.is(201);
}
