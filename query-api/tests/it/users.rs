use domain::ids::UserId;
use domain::user::Role;
use serde_json::json;
use uuid::Uuid;

use crate::shop::Shop;

#[tokio::test]
async fn a_user_reads_their_own_name_and_address() {
    let shop = Shop::open().await;
    let id = shop.register(1, "kim@shop.example", Role::Customer).await;
    shop.catch_up().await;
    let answer = shop.get_as(id, Role::Customer, "/v1/users/me").await;
    assert_eq!(
        answer.json(),
        json!({
            "id": id,
            "email": "kim@shop.example",
            "name": "Kim Ümlaut",
            "role": "customer",
            "created_at": "2023-11-14T22:13:20.123450Z",
        })
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(shop.get("/v1/users/me").await.status, 401);
}

#[tokio::test]
async fn a_user_whom_the_rows_do_not_know_yet_is_asked_to_come_again() {
    let shop = Shop::open().await;
    shop.catch_up().await;
    let answer = shop
        .get_as(UserId(Uuid::from_u128(1)), Role::Customer, "/v1/users/me")
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "not-yet-consistent")
    );
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn administrators_list_users_and_find_them_by_any_spelling_of_an_address() {
    let shop = Shop::open().await;
    let admin = shop.register(1, "admin@shop.example", Role::Admin).await;
    let plus = shop.register(2, "a+b@shop.example", Role::Customer).await;
    shop.catch_up().await;
    let get = async |query: &str| {
        shop.get_as(admin, Role::Admin, &format!("/v1/users{query}"))
            .await
    };
    assert_eq!(get("").await.json()["items"].as_array().unwrap().len(), 2);
    for query in [
        "?email=a%2Bb@shop.example",
        "?email=a+b@shop.example",
        "?email=A%2BB%40SHOP.example",
    ] {
        let found = get(query).await.json();
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{query}");
        assert_eq!(found["items"][0]["id"], json!(plus));
        assert_eq!(found["items"][0]["email"], "a+b@shop.example");
    }
    assert_eq!(
        get("?email=nobody@shop.example").await.json()["items"],
        json!([])
    );
    let refused = get("?email=nobody").await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (400, "malformed-parameter")
    );
    assert_eq!(
        shop.get_as(plus, Role::Staff, "/v1/users").await.status,
        403
    );
    assert_eq!(shop.get("/v1/users").await.status, 401);
}

#[tokio::test]
async fn users_of_one_instant_are_each_on_one_page() {
    let shop = Shop::open().await;
    for number in 0..9 {
        shop.register(number, &format!("kim{number}@shop.example"), Role::Customer)
            .await;
    }
    shop.catch_up().await;
    let bearer = shop.bearer(UserId(Uuid::from_u128(1)), Role::Admin);
    for limit in [1, 4, 9] {
        let mut ids = shop.whole_list("/v1/users", &bearer, limit, "id").await;
        ids.dedup();
        assert_eq!(ids.len(), 9, "limit {limit}");
    }
}
