use std::pin::pin;
use std::time::Duration;

use contract::ConsistencyTokens;
use personal_data::MacKey;
use uuid::Uuid;

use crate::client::Answer;
use crate::shop::Shop;

async fn ask(shop: &Shop, token: &str, wait: &str) -> Answer {
    let headers = [("consistency-token", token), ("prefer", wait)];
    shop.ask("GET", "/v1/inventory/LAMP", &headers).await
}

#[tokio::test]
async fn a_read_that_sends_a_token_sees_that_write() {
    let shop = Shop::open().await;
    shop.create_item("LAMP", "Lamp", None).await;
    let written = shop.receive("LAMP", 2, 5).await;
    let token = shop.token_of([written]);
    // It waits, although these rows are of no log yet.
    let mut read = pin!(ask(&shop, &token, "wait=10"));
    let early = tokio::time::timeout(Duration::from_millis(200), read.as_mut()).await;
    assert!(early.is_err(), "{:?}", early.map(|answer| answer.json()));
    shop.catch_up().await;
    assert_eq!(read.await.json()["available"], 5);
}

#[tokio::test]
async fn a_write_that_is_not_in_the_rows_in_time_is_a_503() {
    let shop = Shop::open().await;
    shop.create_item("LAMP", "Lamp", None).await;
    shop.catch_up().await;
    let written = shop.receive("LAMP", 2, 5).await;
    let late = ask(&shop, &shop.token_of([written]), "wait=0").await;
    assert_eq!(
        (late.status.as_u16(), late.code().as_str()),
        (503, "not-yet-consistent")
    );
    assert_eq!(late.header("retry-after"), "1");
    assert_eq!(
        shop.get("/v1/inventory/LAMP").await.json()["available"],
        0,
        "without it: at once"
    );
    shop.catch_up().await;
    assert_eq!(
        ask(&shop, &shop.token_of([written]), "wait=0").await.json()["available"],
        5
    );
}

#[tokio::test]
async fn before_any_log_was_taken_in_a_token_cannot_be_judged() {
    let shop = Shop::open().await;
    let written = shop.receive("LAMP", 1, 5).await;
    let early = ask(&shop, &shop.token_of([written]), "wait=0").await;
    assert_eq!(early.code(), "not-yet-consistent");
}

#[tokio::test]
async fn all_of_several_tokens_must_be_seen() {
    let shop = Shop::open().await;
    shop.create_item("LAMP", "Lamp", None).await;
    let first = shop.receive("LAMP", 2, 5).await;
    shop.catch_up().await;
    let second = shop.receive("LAMP", 3, 5).await;
    let both = format!("{}, {}", shop.token_of([first]), shop.token_of([second]));
    assert_eq!(ask(&shop, &both, "wait=0").await.status, 503);
    shop.catch_up().await;
    assert_eq!(ask(&shop, &both, "wait=0").await.json()["available"], 10);
}

#[tokio::test]
async fn a_token_of_another_shop_is_a_400() {
    let shop = Shop::open().await;
    shop.catch_up().await;
    let foreign = ConsistencyTokens::new(MacKey::random(), Uuid::nil()).issue([]);
    for token in [foreign.as_str(), "nonsense"] {
        let refused = ask(&shop, token, "wait=0").await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (400, "foreign-consistency-token")
        );
    }
}
