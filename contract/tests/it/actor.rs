use axum::Router;
use axum::routing::get;
use contract::layers::{LayerSettings, around};
use contract::{Actor, Admin, OptionalActor, Staff, TokenVerifier, session};
use domain::user::Role;

use crate::client::{Answer, request, send};
use crate::token::{signer, token, verifier_of};

/// One route for each kind of caller.
fn router(verifier: TokenVerifier) -> Router {
    let (sessions, _) = session::routes(verifier.clone()).split_for_parts();
    let router = Router::new()
        .route("/any", get(async |_: Actor| "any"))
        .route("/staff", get(async |_: Staff| "staff"))
        .route("/admin", get(async |_: Admin| "admin"))
        .route(
            "/optional",
            get(async |actor: OptionalActor| actor.0.is_some().to_string()),
        )
        .with_state(verifier)
        .merge(sessions);
    around(router, LayerSettings::default())
}

async fn with(header: &str) -> Answer {
    let signer = signer();
    let header = header.replace("TOKEN", &token(&signer, Role::Customer));
    send(
        &router(verifier_of(&signer)),
        request("GET", "/any", &[("authorization", &header)]),
    )
    .await
}

#[tokio::test]
async fn the_scheme_is_read_without_case_and_with_any_number_of_blanks() {
    for header in [
        "Bearer TOKEN",
        "bearer TOKEN",
        "BEARER TOKEN",
        "Bearer  TOKEN",
        "Bearer TOKEN ",
    ] {
        assert_eq!(with(header).await.status, 200, "{header}");
    }
}

#[tokio::test]
async fn what_is_not_a_bearer_token_is_a_401_with_a_challenge() {
    for header in [
        "TOKEN",
        "Bearer",
        "Bearer ",
        "Basic TOKEN",
        "BearerTOKEN",
        "Bearer TOKEN x",
        "Bearer TOKENx",
        "Bearer a,TOKEN",
    ] {
        let answer = with(header).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (401, "unauthorized"),
            "{header}"
        );
        assert!(
            answer.header("www-authenticate").starts_with("Bearer"),
            "{header}"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn two_authorization_headers_are_a_400() {
    let signer = signer();
    let header = format!("Bearer {}", token(&signer, Role::Customer));
    let twice = [
        ("authorization", header.as_str()),
        ("authorization", header.as_str()),
    ];
    let answer = send(
        &router(verifier_of(&signer)),
        request("GET", "/any", &twice),
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (400, "malformed-header")
    );
}

#[tokio::test]
async fn a_role_opens_its_own_doors_only() {
    let signer = signer();
    let router = router(verifier_of(&signer));
    let table = [
        (None, [401, 401, 401, 200]),
        (Some(Role::Customer), [200, 403, 403, 200]),
        (Some(Role::Staff), [200, 200, 403, 200]),
        (Some(Role::Admin), [200, 200, 200, 200]),
    ];
    for (role, statuses) in table {
        let header = role.map(|role| format!("Bearer {}", token(&signer, role)));
        let headers: Vec<_> = header
            .iter()
            .map(|text| ("authorization", text.as_str()))
            .collect();
        for (path, status) in ["/any", "/staff", "/admin", "/optional"]
            .into_iter()
            .zip(statuses)
        {
            let answer = send(&router, request("GET", path, &headers)).await;
            assert_eq!(answer.status, status, "{role:?} {path}");
        }
    }
}

#[tokio::test]
async fn a_bad_token_is_a_401_where_none_would_do() {
    let router = router(verifier_of(&signer()));
    let bad = [("authorization", "Bearer nonsense")];
    assert_eq!(
        send(&router, request("GET", "/optional", &bad))
            .await
            .status,
        401
    );
    assert_eq!(
        send(&router, request("GET", "/optional", &[])).await.text,
        "false"
    );
}

#[tokio::test]
async fn the_current_session_says_what_the_token_allows() {
    let signer = signer();
    let router = router(verifier_of(&signer));
    let header = format!("Bearer {}", token(&signer, Role::Staff));
    let path = "/v1/sessions/current";
    let answer = send(&router, request("GET", path, &[("authorization", &header)])).await;
    assert_eq!(answer.json()["role"], "staff");
    assert_eq!(
        answer.json()["user_id"],
        "00000000-0000-0000-0000-000000000001"
    );
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_key_set_is_public_and_names_no_secret() {
    let signer = signer();
    let router = router(verifier_of(&signer));
    let answer = send(&router, request("GET", "/.well-known/jwks.json", &[])).await;
    let key = &answer.json()["keys"][0];
    assert_eq!(key["kid"], signer.public_key().kid());
    assert_eq!(key["alg"], "EdDSA");
    assert!(key.get("d").is_none());
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
}
