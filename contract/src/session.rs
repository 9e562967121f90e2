//! The two routes about access tokens that either API answers alike, for both can check one.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answers::CurrentSession;
use crate::refused::Unauthorized;
use crate::token::KeySet;
use crate::{Actor, TokenVerifier};

/// How long others may keep the key set. A new key must be published that long before it signs.
const KEY_SET_CACHE: &str = "public, max-age=300";

/// `/v1/sessions/current` and the key set.
pub fn routes(verifier: TokenVerifier) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(current_session))
        .routes(routes!(key_set))
        .with_state(verifier)
}

/// Whether the access token is good, and what it says.
#[utoipa::path(
    get, path = "/v1/sessions/current", tag = "sessions", security(("bearer" = [])),
    responses((status = 200, body = CurrentSession), Unauthorized)
)]
async fn current_session(actor: Actor) -> Json<CurrentSession> {
    Json(actor.into())
}

/// The public keys that access tokens are signed with (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "sessions", responses((status = 200, body = KeySet))
)]
async fn key_set(State(verifier): State<TokenVerifier>) -> impl IntoResponse {
    ([(CACHE_CONTROL, KEY_SET_CACHE)], Json(verifier.key_set()))
}
