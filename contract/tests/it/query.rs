use axum::Router;
use axum::routing::get;
use contract::list::{Limit, by_text};
use contract::{Path, Query};
use domain::ids::{OrderId, UserId};
use domain::order::OrderStatus;
use domain::sku::Sku;
use serde::Deserialize;

use crate::client::{Answer, request, send};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    limit: Limit,
    status: Option<OrderStatus>,
    #[serde(deserialize_with = "by_text")]
    user: Option<UserId>,
}

async fn list(query: &str) -> Answer {
    let answer = async |Query(asked): Query<Asked>| {
        format!(
            "{} {:?} {:?}",
            asked.limit.get(),
            asked.status,
            asked.user.map(|user| user.to_string())
        )
    };
    send(
        &Router::new().route("/", get(answer)),
        request("GET", &format!("/?{query}"), &[]),
    )
    .await
}

#[tokio::test]
async fn a_query_is_read_and_its_page_has_50_rows_unless_it_says_otherwise() {
    assert_eq!(list("").await.text, "50 None None");
    assert_eq!(
        list("limit=1&status=placed").await.text,
        "1 Some(Placed) None"
    );
    assert_eq!(list("limit=200").await.text, "200 None None");
    let id = "00000000-0000-0000-0000-000000000001";
    assert_eq!(
        list(&format!("user={id}")).await.text,
        format!("50 None Some({id:?})")
    );
}

#[tokio::test]
async fn an_unknown_repeated_or_impossible_parameter_is_a_400() {
    for bad in [
        "limit=0",
        "limit=201",
        "limit=",
        "limit=x",
        "limit=-1",
        "limit=1.5",
        "limit=1&limit=1",
        "page=2",
        "Limit=1",
        "status=nonsense",
        "status=",
        "status=placed&status=placed",
        "user=me",
        "user=00000000-0000-0000-0000-00000000000A",
        "limit",
        "=",
        "limit=99999999999",
    ] {
        let answer = list(bad).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (400, "malformed-parameter"),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_refused_parameter_is_named_with_what_it_takes() {
    assert_eq!(
        list("limit=0").await.json()["detail"],
        "limit: A page has 1 to 200 rows."
    );
}

async fn named(path: &str) -> Answer {
    let router = Router::new()
        .route(
            "/orders/{id}",
            get(async |Path(id): Path<OrderId>| id.to_string()),
        )
        .route(
            "/items/{sku}",
            get(async |Path(sku): Path<Sku>| sku.to_string()),
        );
    send(&router, request("GET", path, &[])).await
}

#[tokio::test]
async fn an_impossible_path_value_is_a_404() {
    assert_eq!(named("/items/A%2D1").await.text, "A-1");
    let id = "00000000-0000-0000-0000-00000000000a";
    assert_eq!(named(&format!("/orders/{id}")).await.text, id);
    for bad in [
        "/items/%20",
        "/items/a%2Fb",
        "/items/%FF",
        "/items/%00",
        "/items/-a",
        "/orders/1",
        "/orders/00000000-0000-0000-0000-00000000000A",
        "/orders/0000000000000000000000000000000a",
    ] {
        let answer = named(bad).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "not-found"),
            "{bad}"
        );
    }
}
