//! Sessions over HTTP: what lets in, what keeps out, and how long.

use std::time::Duration;

use command_api::http::HttpSettings;
use domain::user::Role;
use futures::future::join_all;
use serde_json::json;

use crate::http::{Answer, Shop};

const EMAIL: &str = "kim@shop.example";
const PASSWORD: &str = "correct horse";

async fn log_in_from(
    shop: &Shop,
    peer: &str,
    forwarded: &str,
    email: &str,
    password: &str,
) -> Answer {
    let body = json!({"email": email, "password": password});
    let call = shop.post("/v1/sessions").peer(peer);
    call.header("x-forwarded-for", forwarded)
        .json(&body)
        .send()
        .await
}

/// Wrong log-ins to so many accounts; whether the last was limited.
async fn guess(shop: &Shop, peer: &str, forwarded: impl Fn(usize) -> String, count: usize) -> bool {
    let mut limited = false;
    for index in 0..count {
        let email = format!("nobody-{index}@shop.example");
        let answer = log_in_from(shop, peer, &forwarded(index), &email, "short").await;
        limited = answer.status == 429;
    }
    limited
}

#[tokio::test]
async fn a_log_in_gives_a_token_that_is_good_and_a_way_to_stay() {
    let shop = Shop::open();
    let user = shop.register(EMAIL, PASSWORD).await.is(201).str("id");
    let session = shop.log_in("Kim@Shop.EXAMPLE", PASSWORD).await.is(201);
    assert_eq!(session.str("token_type"), "Bearer");
    assert_eq!(session.json()["expires_in"], 600);
    assert_eq!(session.header("cache-control"), "no-store");
    let token = session.str("access_token");
    let current = shop
        .get("/v1/sessions/current")
        .bearer(&token)
        .send()
        .await
        .is(200);
    assert_eq!(current.str("user_id"), user);
    let refreshed = shop.refresh(&session.str("refresh_token")).await.is(200);
    assert_ne!(refreshed.str("refresh_token"), session.str("refresh_token"));
}

#[tokio::test]
async fn nobody_learns_whether_it_was_the_address_or_the_password() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let mut answers = vec![];
    for (email, password) in [
        (EMAIL, "wrong horse"),
        (EMAIL, "short"),
        ("sam@shop.example", PASSWORD),
        ("no address", PASSWORD),
    ] {
        let refused = shop
            .log_in(email, password)
            .await
            .problem(401, "invalid-credentials");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        answers.push(refused.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn a_password_is_one_however_its_letters_were_composed() {
    let shop = Shop::open();
    let (composed, decomposed) = (
        "\u{e9}\u{fc}\u{d55c} pass",
        "e\u{301}u\u{308}\u{1112}\u{1161}\u{11ab} pass",
    );
    shop.register("a@shop.example", composed).await.is(201);
    shop.log_in("a@shop.example", decomposed).await.is(201);
    shop.register("b@shop.example", decomposed).await.is(201);
    shop.log_in("b@shop.example", composed).await.is(201);
    shop.register("c@shop.example", &"é".repeat(64))
        .await
        .is(201);
    let huge = shop.log_in("c@shop.example", &"x".repeat(1 << 20)).await;
    huge.problem(413, "body-too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_answered_when_two_tabs_refreshed_at_once_stays_logged_in() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let first = shop
        .log_in(EMAIL, PASSWORD)
        .await
        .is(201)
        .str("refresh_token");
    let answers = join_all((0..4).map(|_| shop.refresh(&first))).await;
    let successors: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.is(200).str("refresh_token"))
        .collect();
    for successor in &successors {
        shop.refresh(successor).await.is(200);
    }
    shop.refresh(&first)
        .await
        .problem(401, "invalid-refresh-token");
    let ended = shop.refresh(&successors[0]).await;
    ended.problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn a_session_that_ended_is_not_refreshed() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let session = shop.log_in(EMAIL, PASSWORD).await.is(201);
    let token = session.str("access_token");
    let ended = shop
        .delete("/v1/sessions/current")
        .bearer(&token)
        .send()
        .await
        .is(204);
    assert_ne!(ended.header("consistency-token"), "");
    shop.delete("/v1/sessions/current")
        .bearer(&token)
        .send()
        .await
        .is(204);
    let refused = shop.refresh(&session.str("refresh_token")).await;
    refused.problem(401, "invalid-refresh-token");
    for nonsense in ["", "x", "ä", &token] {
        shop.refresh(nonsense)
            .await
            .problem(401, "invalid-refresh-token");
    }
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case() {
    let shop = Shop::open();
    let token = shop.token(Role::Customer);
    for scheme in ["bearer ", "BEARER ", "Bearer  "] {
        let call = shop.get("/v1/sessions/current");
        call.header("authorization", &format!("{scheme}{token}"))
            .send()
            .await
            .is(200);
    }
    let twice = shop
        .get("/v1/sessions/current")
        .bearer(&token)
        .bearer(&token);
    assert_eq!(twice.send().await.status, 400);
}

#[tokio::test]
async fn an_account_is_closed_for_longer_and_longer_and_opens_as_it_said() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    for _ in 0..5 {
        shop.log_in(EMAIL, "wrong horse")
            .await
            .problem(401, "invalid-credentials");
    }
    let mut waited = vec![];
    for _ in 0..12 {
        let limited = shop
            .log_in(EMAIL, PASSWORD)
            .await
            .problem(429, "too-many-attempts");
        let seconds = limited.header("retry-after").parse().unwrap();
        waited.push(seconds);
        shop.wait(Duration::from_secs(seconds));
        shop.log_in(EMAIL, "wrong horse")
            .await
            .problem(401, "invalid-credentials");
    }
    assert_eq!(waited, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    shop.wait(Duration::from_secs(900));
    shop.log_in(EMAIL, PASSWORD).await.is(201);
    shop.log_in(EMAIL, "wrong horse")
        .await
        .problem(401, "invalid-credentials");
    shop.log_in(EMAIL, PASSWORD).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_once_are_judged_as_if_they_came_one_by_one() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let answers = join_all((0..40).map(|_| shop.log_in(EMAIL, "wrong horse"))).await;
    let judged = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(judged, 5);
    assert!(
        answers
            .iter()
            .all(|answer| [401, 429].contains(&answer.status.as_u16()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn right_log_ins_are_not_limited() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let answers = join_all((0..80).map(|_| shop.log_in(EMAIL, PASSWORD))).await;
    for answer in answers {
        answer.is(201);
    }
}

#[tokio::test]
async fn one_address_may_fail_often_and_then_be_right() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let same = |_| "198.51.100.1".to_owned();
    assert!(!guess(&shop, "192.0.2.1", same, 60).await);
    log_in_from(&shop, "192.0.2.1", "", EMAIL, PASSWORD)
        .await
        .is(201);
    let made_up = |index| format!("198.51.100.{index}");
    assert!(guess(&shop, "192.0.2.1", made_up, 60).await);
    let limited = log_in_from(&shop, "192.0.2.1", "203.0.113.1", EMAIL, PASSWORD).await;
    let limited = limited.problem(429, "too-many-attempts");
    assert_eq!(limited.header("retry-after"), "1");
    log_in_from(&shop, "192.0.2.2", "", EMAIL, PASSWORD)
        .await
        .is(201);
    shop.wait(Duration::from_secs(1));
    log_in_from(&shop, "192.0.2.1", "", EMAIL, PASSWORD)
        .await
        .is(201);
}

#[tokio::test]
async fn behind_a_trusted_proxy_every_client_has_a_budget_of_its_own() {
    let settings = HttpSettings {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..HttpSettings::default()
    };
    let shop = Shop::with(settings);
    shop.register(EMAIL, PASSWORD).await.is(201);
    let made_up_left = |index| format!("203.0.113.{index}, 198.51.100.1");
    assert!(guess(&shop, "10.0.0.1", made_up_left, 100).await);
    let other = log_in_from(&shop, "10.0.0.1", "198.51.100.2", EMAIL, PASSWORD).await;
    other.is(201);
}
