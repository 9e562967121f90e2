//! Accounts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::refused::{
    BadRequest, Conflict, Forbidden, Invalid, NotFound, TooLarge, TooMany, Unauthorized,
    Unavailable, UnsupportedMediaType,
};
use contract::{Actor, Admin, Body, OptionalIdempotencyKey, Path, Problem, answers};
use domain::email::Email;
use domain::ids::UserId;
use domain::text::{Name, Password};
use domain::user::Role;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::asked::Asked;
use super::declined::declined_user;
use super::written::{Created, DONE, Written};
use crate::commands::users::UserNow;

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    /// Its address.
    #[schema(value_type = String, format = "email", max_length = 254)]
    email: Email,
    /// Its password.
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 256)]
    password: Password,
    /// Its name for people.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Name,
}

/// What a user may change of itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rename {
    /// Its name from now on.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Name,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangePassword {
    /// The password until now.
    #[schema(format = "password")]
    current: String,
    /// The password from now on.
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 256)]
    new: Password,
}

/// A new role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetRole {
    /// What the user may do from its next token on.
    #[schema(schema_with = contract::schema::role)]
    role: Role,
}

/// Opens an account.
#[utoipa::path(
    post, path = "/v1/users", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe.")),
    request_body = Register,
    responses(
        (status = 201, body = answers::User, headers(("Location" = String))),
        BadRequest, Conflict, TooLarge, UnsupportedMediaType, Invalid, Unavailable,
    )
)]
pub(super) async fn register_user(
    State(api): State<Api>,
    OptionalIdempotencyKey(key): OptionalIdempotencyKey,
    asked: Asked,
    Body { value, mut json }: Body<Register>,
) -> Result<Written<Created<answers::User>>, Problem> {
    // A repeated registration is compared by the password's hash instead.
    json.as_object_mut()
        .and_then(|body| body.remove("password"));
    let Register {
        email,
        password,
        name,
    } = value;
    let email_hash = api.0.commands.secrets().email_hash(&email);
    let actor = record::Actor::Anonymous { email_hash };
    let request = asked.keyed(&api.0.fingerprints, actor, key.as_ref(), &json);
    let registered = api
        .0
        .commands
        .register(request, email, name, password, Role::Customer);
    let (outcome, key_at) = registered
        .await
        .map_err(declined_user(Problem::invalid_credentials))?;
    let position = outcome.position;
    let created = |now| Created {
        location: "/v1/users/me".to_owned(),
        body: user(now),
    };
    Ok(Written {
        // Without its key, a read model shows a user without a name.
        consistency_token: api.consistency_token([position, key_at]),
        ..api.written(outcome, created)
    })
}

/// Changes one's own name.
#[utoipa::path(
    patch, path = "/v1/users/me", tag = "users", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe.")),
    request_body = Rename,
    responses(
        (status = 200, body = answers::User),
        BadRequest, Unauthorized, TooLarge, UnsupportedMediaType, Invalid, Unavailable,
    )
)]
pub(super) async fn rename_user(
    State(api): State<Api>,
    actor: Actor,
    OptionalIdempotencyKey(key): OptionalIdempotencyKey,
    asked: Asked,
    Body { value, json }: Body<Rename>,
) -> Result<Written<Json<answers::User>>, Problem> {
    let request = asked.keyed(&api.0.fingerprints, actor, key.as_ref(), &json);
    let renamed = api
        .0
        .commands
        .rename(request, actor.user_id, value.name)
        .await;
    let outcome = renamed.map_err(declined_user(Problem::invalid_credentials))?;
    Ok(api.written(outcome, |now| Json(user(now))))
}

/// Changes one's own password; other sessions end.
#[utoipa::path(
    put, path = "/v1/users/me/password", tag = "users", security(("bearer" = [])),
    request_body = ChangePassword,
    responses(
        (status = 204),
        BadRequest, Unauthorized, TooLarge, UnsupportedMediaType, Invalid, TooMany, Unavailable,
    )
)]
pub(super) async fn change_password(
    State(api): State<Api>,
    actor: Actor,
    asked: Asked,
    Body { value, .. }: Body<ChangePassword>,
) -> Result<Written<StatusCode>, Problem> {
    // Whoever found a token must not find out the password with it.
    let attempt = api.0.attempts.of_user(actor.user_id).await?;
    let current = Password::parse(&value.current).map_err(|_| Problem::invalid_credentials())?;
    let (user, session) = (actor.user_id, actor.session_id);
    let change = api
        .0
        .commands
        .change_password(asked.by(actor), user, session, current, value.new);
    let changed = attempt.end(change.await);
    let outcome = changed.map_err(declined_user(Problem::invalid_credentials))?;
    Ok(api.written(outcome, |()| DONE))
}

/// Changes a user's role.
#[utoipa::path(
    put, path = "/v1/users/{id}/role", tag = "users", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The user."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe."),
    ),
    request_body = SetRole,
    responses(
        (status = 200, body = answers::User),
        BadRequest, Unauthorized, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType,
        Invalid, Unavailable,
    )
)]
pub(super) async fn set_role(
    State(api): State<Api>,
    Admin(actor): Admin,
    Path(id): Path<UserId>,
    OptionalIdempotencyKey(key): OptionalIdempotencyKey,
    asked: Asked,
    Body { value, json }: Body<SetRole>,
) -> Result<Written<Json<answers::User>>, Problem> {
    let request = asked.keyed(&api.0.fingerprints, actor, key.as_ref(), &json);
    let set = api.0.commands.set_role(request, id, value.role).await;
    let outcome = set.map_err(declined_user(Problem::invalid_credentials))?;
    Ok(api.written(outcome, |now| Json(user(now))))
}

fn user(now: UserNow) -> answers::User {
    answers::User {
        id: now.id,
        email: now.email,
        name: now.name,
        role: now.role,
        created_at: now.created_at,
    }
}
