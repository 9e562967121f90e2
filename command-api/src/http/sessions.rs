//! Sessions: logging in, staying logged in, logging out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::answers::TokenPair;
use contract::refused::{
    BadRequest, Invalid, TooLarge, TooMany, Unauthorized, Unavailable, UnsupportedMediaType,
};
use contract::{Actor, Body, Problem};
use domain::email::Email;
use domain::text::Password;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::asked::Asked;
use super::client_address::ClientAddress;
use super::declined::declined_user;
use super::written::{DONE, Written};
use crate::commands::sessions::SessionNow;

/// Who logs in. Read as plain text: what cannot be an address or a password is simply wrong.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    /// The address.
    #[schema(format = "email")]
    email: String,
    /// The password.
    #[schema(format = "password")]
    password: String,
}

/// What the last log-in or refresh gave.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    /// The newest refresh token, or the one before it where the answer was lost.
    refresh_token: String,
}

/// Begins a session. Failed attempts are limited per account and per client address.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions",
    request_body = LogIn,
    responses(
        (status = 201, body = TokenPair),
        BadRequest, Unauthorized, TooLarge, UnsupportedMediaType, Invalid, TooMany, Unavailable,
    )
)]
pub(super) async fn log_in(
    State(api): State<Api>,
    ClientAddress(address): ClientAddress,
    asked: Asked,
    Body { value, .. }: Body<LogIn>,
) -> Result<Written<(StatusCode, Json<TokenPair>)>, Problem> {
    let by_address = api.0.attempts.by_address(address).await?;
    let Ok(email) = Email::parse(&value.email) else {
        return Err(Problem::invalid_credentials());
    };
    let email_hash = api.0.commands.secrets().email_hash(&email);
    let on_account = match api.0.attempts.on_account(&email_hash).await {
        Ok(attempt) => attempt,
        Err(limited) => {
            by_address.withdraw();
            return Err(limited);
        }
    };
    let Ok(password) = Password::parse(&value.password) else {
        return Err(Problem::invalid_credentials());
    };
    let request = asked.by(record::Actor::Anonymous { email_hash });
    let begun = api.0.commands.log_in(request, email, password).await;
    let begun = by_address.end(on_account.end(begun));
    let outcome = begun.map_err(declined_user(Problem::invalid_credentials))?;
    Ok(api.written(outcome, |session| {
        (StatusCode::CREATED, Json(api.tokens(session)))
    }))
}

/// Gives the next pair of tokens. The same token gives the same successor until that is used.
#[utoipa::path(
    post, path = "/v1/sessions/refresh", tag = "sessions",
    request_body = Refresh,
    responses(
        (status = 200, body = TokenPair),
        BadRequest, Unauthorized, TooLarge, UnsupportedMediaType, Invalid, Unavailable,
    )
)]
pub(super) async fn refresh_session(
    State(api): State<Api>,
    asked: Asked,
    Body { value, .. }: Body<Refresh>,
) -> Result<Written<Json<TokenPair>>, Problem> {
    let refreshed = api
        .0
        .commands
        .refresh(|actor| asked.by(actor), &value.refresh_token)
        .await;
    let outcome = refreshed.map_err(declined_user(Problem::invalid_refresh_token))?;
    Ok(api.written(outcome, |session| Json(api.tokens(session))))
}

/// Ends the session of the access token: it cannot be refreshed any more.
#[utoipa::path(
    delete, path = "/v1/sessions/current", tag = "sessions", security(("bearer" = [])),
    responses((status = 204), BadRequest, Unauthorized, Unavailable)
)]
pub(super) async fn log_out(
    State(api): State<Api>,
    actor: Actor,
    asked: Asked,
) -> Result<Written<StatusCode>, Problem> {
    let ended = api
        .0
        .commands
        .log_out(asked.by(actor), actor.user_id, actor.session_id)
        .await;
    let outcome = ended.map_err(declined_user(Problem::invalid_refresh_token))?;
    Ok(api.written(outcome, |()| DONE))
}

impl Api {
    fn tokens(&self, session: SessionNow) -> TokenPair {
        let SessionNow {
            user_id,
            session_id,
            role,
            refresh_token,
        } = session;
        let now = self.0.commands.committer().now();
        TokenPair::new(
            self.0.signer.sign(user_id, role, session_id, now),
            refresh_token,
        )
    }
}
