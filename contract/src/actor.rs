//! Who asks. Authorisation stands in a handler's signature: one that takes [`Staff`] cannot run
//! for a customer.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::ids::{SessionId, UserId};
use domain::time::Time;
use domain::user::Role;

use crate::problem::AccessRefusal;
use crate::{Problem, TokenVerifier, headers};

/// Somebody with a good access token, of any role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub user_id: UserId,
    /// What they may do, as of the token's signing.
    pub role: Role,
    /// The session that the token came from.
    pub session_id: SessionId,
    /// When the token ends.
    pub expires_at: Time,
}

/// An actor with the role staff or admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staff(pub Actor);

/// An actor with the role admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admin(pub Actor);

/// An actor, or nobody where no token was sent. A bad token is still a 401: whoever sends one
/// does not want to be nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionalActor(pub Option<Actor>);

impl Actor {
    /// Whether they see and change what is everybody's.
    pub fn is_staff(&self) -> bool {
        matches!(self.role, Role::Staff | Role::Admin)
    }
}

impl From<Actor> for record::Actor {
    fn from(actor: Actor) -> Self {
        Self::User {
            id: actor.user_id,
            role: actor.role,
        }
    }
}

impl<S> FromRequestParts<S> for Actor
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let OptionalActor(actor) = OptionalActor::from_request_parts(parts, state).await?;
        actor.ok_or_else(|| Problem::unauthorized(AccessRefusal::Missing))
    }
}

impl<S> FromRequestParts<S> for OptionalActor
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Some(header) = headers::single(&parts.headers, &AUTHORIZATION)? else {
            return Ok(Self(None));
        };
        let token =
            bearer(header).ok_or_else(|| Problem::unauthorized(AccessRefusal::NotBearer))?;
        let actor = TokenVerifier::from_ref(state).verify_waiting(token).await?;
        Ok(Self(Some(actor)))
    }
}

impl<S> FromRequestParts<S> for Staff
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let actor = Actor::from_request_parts(parts, state).await?;
        if actor.is_staff() {
            return Ok(Self(actor));
        }
        Err(Problem::forbidden("This needs the role staff or admin."))
    }
}

impl<S> FromRequestParts<S> for Admin
where
    S: Send + Sync,
    TokenVerifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let actor = Actor::from_request_parts(parts, state).await?;
        if actor.role == Role::Admin {
            return Ok(Self(actor));
        }
        Err(Problem::forbidden("This needs the role admin."))
    }
}

/// The token of `Bearer <token>`: the scheme without regard to case, and any number of blanks
/// (RFC 9110; report R24).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim_matches(' ').split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let one_token = !token.is_empty() && !token.contains([' ', '\t', ',']);
    (scheme.eq_ignore_ascii_case("Bearer") && one_token).then_some(token)
}
