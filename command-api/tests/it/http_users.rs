//! Accounts over HTTP.

use std::sync::Arc;

use command_api::http::HttpSettings;
use contract::ConsistencyTokens;
use contract::headers::CONSISTENCY_TOKEN;
use domain::ids::UserId;
use domain::user::Role;
use event_log::EventLog;
use event_log::sqlite::SqliteLog;
use personal_data::Secrets;
use record::epochs::EpochEntry;
use record::{Partition, Position, Topic};
use serde_json::json;

use crate::http::{Answer, Shop};

const EMAIL: &str = "kim@shop.example";
const PASSWORD: &str = "correct horse";

async fn change_password(shop: &Shop, token: &str, current: &str, new: &str) -> Answer {
    let body = json!({"current": current, "new": new});
    shop.put("/v1/users/me/password")
        .bearer(token)
        .json(&body)
        .send()
        .await
}

async fn set_role(shop: &Shop, token: &str, user: &str, role: &str) -> Answer {
    let call = shop.put(&format!("/v1/users/{user}/role")).bearer(token);
    call.json(&json!({"role": role})).send().await
}

#[tokio::test]
async fn a_user_registers_once() {
    let shop = Shop::open();
    let answer = shop.register("Kim@SHOP.example", PASSWORD).await.is(201);
    assert_eq!(answer.header("location"), "/v1/users/me");
    assert_ne!(answer.header("consistency-token"), "");
    let user = answer.json();
    let expected = json!({
        "id": user["id"], "email": EMAIL, "name": "Kim", "role": "customer",
        "created_at": user["created_at"],
    });
    assert_eq!(user, expected);
    shop.register("KIM@shop.example", "another one")
        .await
        .problem(409, "email-taken");
}

/// Who reads with it sees a user with a name: the key has come, too.
#[tokio::test]
async fn a_registrations_token_also_names_its_key() {
    let (directory, secrets) = (tempfile::tempdir().unwrap(), Arc::new(Secrets::generate()));
    let shop = Shop::over(directory.path(), &secrets, HttpSettings::default());
    let answer = shop.register(EMAIL, PASSWORD).await.is(201);
    let log = SqliteLog::open_read_only(directory.path()).unwrap();
    let (partition, offset) = (Partition::EPOCHS, 0);
    let first = log.read_at(Position { partition, offset }).await.unwrap();
    let Ok(EpochEntry::Claim { id, .. }) = EpochEntry::decode(&first.payload) else {
        panic!("the log begins with a claim")
    };
    let tokens = ConsistencyTokens::new(secrets.opaque_token_key().clone(), id);
    let sent = (CONSISTENCY_TOKEN, answer.header("consistency-token"));
    let sent = [(sent.0, sent.1.parse().unwrap())];
    let positions = tokens.positions(&sent.into_iter().collect()).unwrap();
    let topics: Vec<_> = positions.iter().map(|it| it.partition.topic).collect();
    assert_eq!(topics, [Topic::Users, Topic::UserKeys]);
}

#[tokio::test]
async fn an_account_needs_an_address_a_name_and_a_password_of_eight() {
    let shop = Shop::open();
    let good = json!({"email": EMAIL, "password": PASSWORD, "name": "Kim"});
    for (member, bad) in [
        ("email", "kim"),
        ("email", " kim@shop.example"),
        ("email", "\u{212A}im@shop.example"),
        ("password", "1234567"),
        ("name", ""),
        ("name", "Kim\n"),
    ] {
        let mut user = good.clone();
        user[member] = json!(bad);
        let refused = shop.post("/v1/users").json(&user).send().await;
        let refused = refused.problem(422, "invalid-body");
        assert_eq!(refused.pointer(), format!("/{member}"), "{bad:?}");
        assert!(!refused.text.contains(PASSWORD));
    }
    let mut admin = good;
    admin["role"] = json!("admin");
    let refused = shop.post("/v1/users").json(&admin).send().await;
    assert_eq!(refused.problem(422, "invalid-body").pointer(), "/role");
}

#[tokio::test]
async fn a_user_changes_its_name() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let token = shop
        .log_in(EMAIL, PASSWORD)
        .await
        .is(201)
        .str("access_token");
    let call = shop.call("PATCH", "/v1/users/me").bearer(&token);
    let renamed = call
        .json(&json!({"name": "Kim e\u{301}"}))
        .send()
        .await
        .is(200);
    assert_eq!(renamed.str("name"), "Kim é");
    assert_ne!(renamed.header("consistency-token"), "");
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let here = shop.log_in(EMAIL, PASSWORD).await.is(201);
    let there = shop.log_in(EMAIL, PASSWORD).await.is(201);
    let token = here.str("access_token");
    let wrong = change_password(&shop, &token, "wrong", "another one").await;
    wrong.problem(401, "invalid-credentials");
    let short = change_password(&shop, &token, PASSWORD, "short").await;
    assert_eq!(short.problem(422, "invalid-body").pointer(), "/new");
    change_password(&shop, &token, PASSWORD, "another one")
        .await
        .is(204);
    shop.refresh(&here.str("refresh_token")).await.is(200);
    let ended = shop.refresh(&there.str("refresh_token")).await;
    ended.problem(401, "invalid-refresh-token");
    shop.log_in(EMAIL, PASSWORD)
        .await
        .problem(401, "invalid-credentials");
    shop.log_in(EMAIL, "another one").await.is(201);
}

#[tokio::test]
async fn a_token_does_not_let_its_finder_guess_the_password() {
    let shop = Shop::open();
    shop.register(EMAIL, PASSWORD).await.is(201);
    let token = shop
        .log_in(EMAIL, PASSWORD)
        .await
        .is(201)
        .str("access_token");
    for _ in 0..5 {
        let wrong = change_password(&shop, &token, "wrong guess", "another one").await;
        wrong.problem(401, "invalid-credentials");
    }
    let limited = change_password(&shop, &token, PASSWORD, "another one").await;
    limited.problem(429, "too-many-attempts");
}

#[tokio::test]
async fn an_admin_gives_and_takes_roles_but_never_its_own() {
    let shop = Shop::open();
    let user = shop.register(EMAIL, PASSWORD).await.is(201).str("id");
    let admin = shop
        .register("admin@shop.example", PASSWORD)
        .await
        .is(201)
        .str("id");
    let admin_id: UserId = admin.parse().unwrap();
    let token = shop.token_of(admin_id, Role::Admin);
    set_role(&shop, &token, &admin, "customer")
        .await
        .problem(409, "last-admin");
    let promoted = set_role(&shop, &token, &user, "staff").await.is(200);
    assert_eq!(promoted.str("role"), "staff");
    assert_ne!(promoted.header("consistency-token"), "");
    let refused = set_role(&shop, &token, &user, "owner")
        .await
        .problem(422, "invalid-body");
    assert_eq!(refused.pointer(), "/role");
    let nobody = uuid::Uuid::now_v7().to_string();
    set_role(&shop, &token, &nobody, "staff")
        .await
        .problem(404, "not-found");
    let session = shop
        .log_in(EMAIL, PASSWORD)
        .await
        .is(201)
        .str("access_token");
    let current = shop
        .get("/v1/sessions/current")
        .bearer(&session)
        .send()
        .await;
    assert_eq!(current.is(200).str("role"), "staff");
}
