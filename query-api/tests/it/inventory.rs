use domain::ids::UserId;
use domain::user::Role;
use serde_json::json;
use uuid::Uuid;

use crate::shop::Shop;

const STAFF: UserId = UserId(Uuid::from_u128(1));

#[tokio::test]
async fn an_item_is_shown_with_its_stock_to_everybody() {
    let shop = Shop::open().await;
    shop.create_item("LAMP", "Lamp", None).await;
    shop.receive("LAMP", 2, 10).await;
    shop.place(100, STAFF, "LAMP", 3).await;
    shop.catch_up().await;
    let answer = shop.get("/v1/inventory/LAMP").await;
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(
        answer.json(),
        json!({
            "sku": "LAMP",
            "name": "Lamp",
            "price": {"amount": 1999, "currency": "EUR"},
            "category": null,
            "status": "active",
            "available": 7,
            "held": 3,
            "sold": 0,
            "supplied": 10,
            "settling": false,
        })
    );
}

#[tokio::test]
async fn stock_seen_taken_before_its_supply_is_shown_as_zero_and_settling() {
    let shop = Shop::open().await;
    shop.create_item("LAMP", "Lamp", None).await;
    shop.place(100, STAFF, "LAMP", 3).await;
    shop.catch_up().await;
    let item = shop.get("/v1/inventory/LAMP").await.json();
    assert_eq!(
        (&item["available"], &item["settling"]),
        (&json!(0), &json!(true))
    );
}

#[tokio::test]
async fn an_item_may_be_named_import() {
    let shop = Shop::open().await;
    shop.create_item("import", "Lamp", None).await;
    shop.catch_up().await;
    let item = shop.get("/v1/inventory/import").await.json();
    assert_eq!(item["sku"], "import");
}

#[tokio::test]
async fn an_unknown_or_impossible_item_is_a_404_that_is_not_cached() {
    let shop = Shop::open().await;
    shop.create_item("LAMP", "Lamp", None).await;
    shop.catch_up().await;
    for path in ["lamp", "LAMP2", "%20", "-LAMP", "LAMP%2F", &"x".repeat(65)] {
        let answer = shop.get(&format!("/v1/inventory/{path}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "not-found"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_search_takes_every_character_literally_and_ignores_case() {
    let shop = Shop::open().await;
    for (sku, name) in [
        ("A1", "50% off"),
        ("A2", "500 off"),
        ("A3", "a_b"),
        ("A4", "axb"),
        ("A5", r"c\d"),
    ] {
        shop.create_item(sku, name, Some("Sale")).await;
    }
    shop.receive("A1", 2, 1).await;
    shop.catch_up().await;
    let found = async |query: &str| {
        let answer = shop.get(&format!("/v1/inventory?{query}")).await;
        assert_eq!(answer.header("cache-control"), "no-cache");
        let items = answer.json()["items"].as_array().unwrap().clone();
        let mut skus: Vec<_> = items
            .iter()
            .map(|item| item["sku"].as_str().unwrap().to_owned())
            .collect();
        skus.sort();
        skus.join(" ")
    };
    assert_eq!(found("q=50%25").await, "A1");
    assert_eq!(found("q=a_b").await, "A3");
    assert_eq!(found("q=%5C").await, "A5");
    assert_eq!(found("q=OFF").await, "A1 A2");
    assert_eq!(found("q=a5").await, "A5");
    assert_eq!(found("q=").await, "A1 A2 A3 A4 A5");
    assert_eq!(found("category=Sale&q=off").await, "A1 A2");
    assert_eq!(
        found("category=sale").await,
        "",
        "a category matches exactly"
    );
    assert_eq!(found("in_stock=true").await, "A1");
    assert_eq!(found("in_stock=false").await, "A2 A3 A4 A5");
}

#[tokio::test]
async fn items_of_one_instant_are_each_on_one_page() {
    let shop = Shop::open().await;
    for number in 0..9 {
        shop.create_item(&format!("LAMP-{number}"), "Lamp", None)
            .await;
    }
    shop.catch_up().await;
    for limit in [1, 4, 9] {
        let mut skus = shop.whole_list("/v1/inventory", "", limit, "sku").await;
        assert_eq!(skus.len(), 9);
        skus.dedup();
        assert_eq!(skus.len(), 9, "limit {limit}");
    }
}

#[tokio::test]
async fn the_ledger_tells_staff_who_moved_what_and_why() {
    let shop = Shop::open().await;
    shop.create_item("LAMP", "Lamp", None).await;
    shop.receive("LAMP", 2, 10).await;
    let order = shop.place(100, STAFF, "LAMP", 3).await;
    shop.cancel(order, "LAMP", 3).await;
    shop.catch_up().await;
    let path = "/v1/inventory/LAMP/movements";
    assert_eq!(shop.get(path).await.status, 401);
    assert_eq!(shop.get_as(STAFF, Role::Customer, path).await.status, 403);
    let unknown = shop
        .get_as(STAFF, Role::Staff, "/v1/inventory/NONE/movements")
        .await;
    assert_eq!(unknown.code(), "not-found");

    let ledger = shop.get_as(STAFF, Role::Staff, path).await.json();
    let rows = ledger["items"].as_array().unwrap();
    let sum: i64 = rows
        .iter()
        .map(|row| row["quantity"].as_i64().unwrap())
        .sum();
    assert_eq!((rows.len(), sum), (3, 10));
    let of = |reason: &str| {
        rows.iter()
            .find(|row| row["reason"] == reason)
            .unwrap()
            .clone()
    };
    assert_eq!(
        of("received"),
        json!({
            "quantity": 10,
            "reason": "received",
            "order_id": null,
            "actor": "operator",
            "actor_id": null,
            "reference": "delivery 7",
            "at": "2023-11-14T22:13:20.123450Z",
        })
    );
    assert_eq!(of("order")["quantity"], -3);
    assert_eq!(of("order")["order_id"], json!(order));
    assert_eq!(of("order")["actor_id"], json!(STAFF));
    assert_eq!(of("cancellation")["quantity"], 3);
}
