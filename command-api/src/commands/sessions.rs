//! Sessions: they belong to a user, and begin, go on and end with records of it.

use domain::email::Email;
use domain::ids::{SessionId, UserId};
use domain::text::Password;
use domain::time::Time;
use domain::user::{ExistingUser, Role, UserCommand, UserEvent};
use personal_data::{PersonalKey, RefreshToken};
use record::Events;

use crate::commands::users::{UserError, UserSnapshot, email_claim, key};
use crate::commands::{Commands, Outcome};
use crate::commit::{CommitError, Committed, Request};
use crate::gate::Look;

/// A session that was begun or refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionNow {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub session_id: SessionId,
    /// What the user may do.
    pub role: Role,
    /// The refresh token, as the client holds it.
    pub refresh_token: String,
}

impl Commands {
    /// Begins a session, if address and password fit.
    ///
    /// # Errors
    /// [`UserError::InvalidCredentials`], and as every command.
    pub async fn log_in(
        &self,
        request: Request,
        email: Email,
        password: Password,
    ) -> Result<Outcome<SessionNow>, UserError> {
        let claim = email_claim(&self.personal.secrets.email_hash(&email));
        let found = self.user_snapshot(Look::Claimed(claim)).await?;
        let hash = found
            .as_ref()
            .and_then(|snapshot| self.password_hash(snapshot));
        let verified = self.personal.passwords.verify(password, hash).await;
        let fits = verified.map_err(|_| CommitError::Busy)?;
        let Some(user) = found
            .filter(|_| fits)
            .and_then(|snapshot| snapshot.user.existing)
        else {
            return Err(UserError::InvalidCredentials);
        };
        let session = SessionId(self.committer.new_id());
        let hash = user.password_hash.clone();
        let make = move |now: &ExistingUser, _: Option<&PersonalKey>, at: Time| {
            if now.password_hash == hash {
                UserCommand::StartSession { session, at }
            } else {
                // The password changed while it was verified: begin nothing.
                UserCommand::EndSession { session }
            }
        };
        let committed = self.change(request, user.id, make).await?;
        self.session_after(committed, session, 1)
    }

    /// Uses a refresh token. The previous one gives the same successor again. The request is made
    /// for the user that the token names.
    ///
    /// # Errors
    /// [`UserError::InvalidCredentials`] where it is no token or its session has ended.
    pub async fn refresh(
        &self,
        request: impl FnOnce(record::Actor) -> Request,
        token: &str,
    ) -> Result<Outcome<SessionNow>, UserError> {
        let token = self.personal.secrets.read_refresh_token(token);
        let RefreshToken {
            user_id,
            session_id,
            counter,
        } = token.ok_or(UserError::InvalidCredentials)?;
        let make = move |_: &ExistingUser, _: Option<&PersonalKey>, at: Time| {
            UserCommand::RefreshSession {
                session: session_id,
                counter,
                at,
            }
        };
        let holder = self.user_snapshot(Look::Aggregate(key(user_id))).await?;
        let holder = holder.and_then(|snapshot| snapshot.user.existing);
        let role = holder.ok_or(UserError::InvalidCredentials)?.role;
        let request = request(record::Actor::User { id: user_id, role });
        let committed = self.change(request, user_id, make).await?;
        self.session_after(committed, session_id, counter + 1)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// As every command.
    pub async fn log_out(
        &self,
        request: Request,
        user: UserId,
        session: SessionId,
    ) -> Result<Outcome<()>, UserError> {
        let make =
            move |_: &ExistingUser, _: Option<&PersonalKey>, _| UserCommand::EndSession { session };
        let committed = self.change(request, user, make).await?;
        Ok(Outcome {
            value: (),
            replayed: committed.replayed,
            position: committed.position,
        })
    }

    fn session_after(
        &self,
        committed: Committed,
        session_id: SessionId,
        counter: u64,
    ) -> Result<Outcome<SessionNow>, UserError> {
        let ended = match &committed.record.body.events {
            Events::Users(events) => events.iter().any(
                |e| matches!(e, UserEvent::SessionEnded { session } if *session == session_id),
            ),
            _ => false,
        };
        let snapshot: Option<UserSnapshot> = committed
            .snapshot
            .as_deref()
            .and_then(|snapshot| serde_json::from_str(snapshot).ok());
        let user = snapshot.and_then(|snapshot| snapshot.user.existing);
        let Some(user) =
            user.filter(|user| !ended && user.sessions.iter().any(|s| s.id == session_id))
        else {
            return Err(UserError::InvalidCredentials);
        };
        let token = RefreshToken {
            user_id: user.id,
            session_id,
            counter,
        };
        let refresh_token = self.personal.secrets.refresh_token_text(&token);
        let value = SessionNow {
            user_id: user.id,
            session_id,
            role: user.role,
            refresh_token,
        };
        Ok(Outcome {
            value,
            replayed: false,
            position: committed.position,
        })
    }
}
