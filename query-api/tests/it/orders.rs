use domain::ids::UserId;
use domain::user::Role;
use serde_json::json;
use uuid::Uuid;

use crate::shop::Shop;

const ANNA: UserId = UserId(Uuid::from_u128(1));
const BEN: UserId = UserId(Uuid::from_u128(2));

#[tokio::test]
async fn an_order_is_shown_as_it_was_placed() {
    let shop = Shop::open().await;
    let id = shop.place(100, ANNA, "LAMP", 3).await;
    shop.catch_up().await;
    let answer = shop
        .get_as(ANNA, Role::Customer, &format!("/v1/orders/{id}"))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.json(),
        json!({
            "id": id,
            "user_id": ANNA,
            "status": "placed",
            "lines": [{
                "sku": "LAMP",
                "name": "Lamp",
                "quantity": 3,
                "unit_price": {"amount": 1999, "currency": "EUR"},
                "total": {"amount": 5997, "currency": "EUR"},
            }],
            "total": {"amount": 5997, "currency": "EUR"},
            "placed_at": "2023-11-14T22:13:20.123450Z",
            "cancelled_at": null,
            "cancellation_reason": null,
        })
    );
}

#[tokio::test]
async fn somebody_elses_order_is_a_404_but_staff_sees_every_one() {
    let shop = Shop::open().await;
    let id = shop.place(100, ANNA, "LAMP", 3).await;
    shop.catch_up().await;
    for path in [
        format!("/v1/orders/{id}"),
        format!("/v1/orders/{id}/events"),
    ] {
        let nobodys = path.replace("64", "65");
        for (user, role, path, status) in [
            (BEN, Role::Customer, &path, 404),
            (BEN, Role::Staff, &path, 200),
            (BEN, Role::Admin, &path, 200),
            (ANNA, Role::Customer, &nobodys, 404),
        ] {
            assert_eq!(
                shop.get_as(user, role, path).await.status,
                status,
                "{role:?} {path}"
            );
        }
        assert_eq!(shop.get(&path).await.code(), "unauthorized");
    }
    let theirs = shop
        .get_as(BEN, Role::Customer, &format!("/v1/orders/{id}"))
        .await;
    let nobodys = shop
        .get_as(BEN, Role::Customer, &format!("/v1/orders/{}", Uuid::nil()))
        .await;
    assert_eq!(
        theirs.json()["detail"],
        nobodys.json()["detail"],
        "they cannot be told apart"
    );
}

#[tokio::test]
async fn the_history_is_told_oldest_first() {
    let shop = Shop::open().await;
    let id = shop.place(100, ANNA, "LAMP", 3).await;
    shop.cancel(id, "LAMP", 3).await;
    shop.catch_up().await;
    let answer = shop
        .get_as(ANNA, Role::Customer, &format!("/v1/orders/{id}/events"))
        .await;
    let events = answer.json();
    assert_eq!(events["next_cursor"], json!(null));
    assert_eq!(events["items"][0]["type"], "order-placed");
    assert_eq!(events["items"][0]["actor_id"], json!(ANNA));
    assert_eq!(
        events["items"][1],
        json!({
            "version": 2,
            "type": "order-cancelled",
            "at": "2023-11-14T22:13:20.123451Z",
            "actor": "operator",
            "actor_id": null,
            "reason": "too late",
        })
    );
    let order = shop
        .get_as(ANNA, Role::Customer, &format!("/v1/orders/{id}"))
        .await
        .json();
    assert_eq!(order["status"], "cancelled");
    assert_eq!(order["cancelled_at"], "2023-11-14T22:13:20.123451Z");
    assert_eq!(order["cancellation_reason"], "too late");
}

#[tokio::test]
async fn a_customer_lists_their_own_orders_and_staff_all_or_one_users() {
    let shop = Shop::open().await;
    let of_anna = shop.place(100, ANNA, "LAMP", 1).await;
    let of_ben = shop.place(200, BEN, "LAMP", 1).await;
    shop.cancel(of_ben, "LAMP", 1).await;
    shop.catch_up().await;
    let (anna, ben) = (of_anna.to_string(), of_ben.to_string());
    let list = async |user, role, query: &str| {
        let answer = shop.get_as(user, role, &format!("/v1/orders{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let items = answer.json()["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|order| order["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let (customer, staff) = (Role::Customer, Role::Staff);
    assert_eq!(list(ANNA, customer, "").await, anna);
    assert_eq!(list(ANNA, customer, &format!("?user={ANNA}")).await, anna);
    assert_eq!(list(ANNA, customer, "?status=cancelled").await, "");
    assert_eq!(list(BEN, staff, "").await, format!("{ben} {anna}"));
    assert_eq!(list(BEN, staff, &format!("?user={ANNA}")).await, anna);
    assert_eq!(list(BEN, staff, "?status=cancelled").await, ben);
    let theirs = shop
        .get_as(ANNA, customer, &format!("/v1/orders?user={BEN}"))
        .await;
    assert_eq!(
        (theirs.status.as_u16(), theirs.code().as_str()),
        (403, "forbidden")
    );
}

#[tokio::test]
async fn orders_of_one_instant_are_each_on_one_page() {
    let shop = Shop::open().await;
    let mut placed = Vec::new();
    for number in 0..30 {
        placed.push(shop.place(1000 + number, ANNA, "LAMP", 1).await.to_string());
    }
    shop.catch_up().await;
    placed.reverse();
    let bearer = shop.bearer(ANNA, Role::Customer);
    for limit in [1, 7, 29, 30, 200] {
        assert_eq!(
            shop.whole_list("/v1/orders", &bearer, limit, "id").await,
            placed,
            "{limit}"
        );
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_query_and_its_reader() {
    let shop = Shop::open().await;
    for number in 0..3 {
        shop.place(100 + number, ANNA, "LAMP", 1).await;
    }
    shop.catch_up().await;
    let page = shop
        .get_as(ANNA, Role::Customer, "/v1/orders?limit=1")
        .await
        .json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let status = async |user, role, query: &str| {
        let path = format!("/v1/orders?{query}cursor={cursor}");
        shop.get_as(user, role, &path).await.status.as_u16()
    };
    assert_eq!(status(ANNA, Role::Customer, "").await, 200);
    assert_eq!(
        status(ANNA, Role::Customer, "limit=2&").await,
        200,
        "the length may change"
    );
    assert_eq!(status(ANNA, Role::Customer, "status=placed&").await, 400);
    assert_eq!(status(BEN, Role::Customer, "").await, 400);
    assert_eq!(status(BEN, Role::Staff, "").await, 400);
}
