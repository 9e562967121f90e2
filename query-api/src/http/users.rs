//! Users: oneself, or for administrators everybody. Names and addresses are opened here.

use axum::Json;
use axum::extract::State;
use contract::answers;
use contract::list::{Limit, Page};
use contract::refused::{BadRequest, Forbidden, Unauthorized, Unavailable};
use contract::{Actor, Admin, Problem, Query};
use domain::email::Email;
use personal_data::{Field, Secrets, Unopened, WrappedKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::list::List;
use crate::Api;
use crate::api::unanswered;
use crate::freshness::{Fresh, FreshnessHeaders, RETRY_AFTER};
use crate::read_model::User;

/// Which users.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListUsers {
    /// Only the one with this address.
    #[serde(deserialize_with = "email_with_plus")]
    #[param(value_type = Option<String>)]
    email: Option<Email>,
    /// Rows of a page.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
}

/// The users, newest first.
#[utoipa::path(
    get, path = "/v1/users", tag = "users", security(("bearer" = [])),
    params(ListUsers, FreshnessHeaders),
    responses(
        (status = 200, body = Page<answers::User>),
        BadRequest, Unauthorized, Forbidden, Unavailable
    )
)]
pub(super) async fn list_users(
    State(api): State<Api>,
    _: Admin,
    Query(asked): Query<ListUsers>,
    Fresh(read_models): Fresh,
) -> Result<Json<Page<answers::User>>, Problem> {
    let email = asked.email.map(|email| api.secrets().email_hash(&email));
    let query = format!("users {email:?}");
    let list = List::new(&api, query, asked.limit, asked.cursor.as_deref())?;
    let page = read_models
        .users(email.as_ref(), &list.paging)
        .await
        .map_err(unanswered)?;
    Ok(Json(list.page(page, |user| opened(api.secrets(), user))?))
}

/// Oneself.
#[utoipa::path(
    get, path = "/v1/users/me", tag = "users", security(("bearer" = [])),
    params(FreshnessHeaders),
    responses((status = 200, body = answers::User), BadRequest, Unauthorized, Unavailable)
)]
pub(super) async fn get_me(
    State(api): State<Api>,
    actor: Actor,
    Fresh(read_models): Fresh,
) -> Result<Json<answers::User>, Problem> {
    let user = read_models.user(actor.user_id).await.map_err(unanswered)?;
    // Whoever holds a good token has registered: the rows are only not that far yet.
    let user = user.ok_or_else(|| Problem::not_yet_consistent(RETRY_AFTER))?;
    opened(api.secrets(), user).map(Json)
}

/// A user as people read it. Without a key, which was erased or is on its way, the personal
/// members are `null`.
fn opened(secrets: &Secrets, user: User) -> Result<answers::User, Problem> {
    let personal = user
        .wrapped_key
        .as_deref()
        .map(|wrapped| personal(secrets, &user, wrapped));
    let (email, name) = personal
        .transpose()
        .map_err(|error| {
            let key = user.key_id;
            tracing::error!(user.id = %user.id, %key, %error, "a user's data cannot be opened");
            Problem::internal()
        })?
        .unzip();
    Ok(answers::User {
        id: user.id,
        email,
        name,
        role: user.role,
        created_at: user.created_at,
    })
}

/// The address and the name.
fn personal(secrets: &Secrets, user: &User, wrapped: &[u8]) -> Result<(String, String), Unopened> {
    let wrapped = std::str::from_utf8(wrapped).map_err(|_| Unopened)?;
    let wrapped = WrappedKey::parse(wrapped).map_err(|_| Unopened)?;
    let key = secrets.unwrap_key(user.key_id, &wrapped)?;
    Ok((
        key.open(Field::Email, &user.email)?,
        key.open(Field::Name, &user.name)?,
    ))
}

/// Reads an address from a query, where an unescaped `+` arrives as a blank. No address has a
/// blank, so it can only have been a `+` (report R17).
fn email_with_plus<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Email>, D::Error> {
    let text = String::deserialize(deserializer)?.replace(' ', "+");
    Email::parse(&text).map(Some).map_err(D::Error::custom)
}
