//! A user: one account, its role and its sessions. Personal data comes in sealed.
//!
//! Sessions belong to the user so that a changed password ends them in the same record.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

use crate::email::EmailHash;
use crate::ids::{PersonalKeyId, SessionId, UserId};
use crate::text::Sealed;
use crate::time::Time;

/// The most sessions of one user; the one used longest ago ends when another starts.
pub const SESSIONS_MAX: usize = 10;
/// How long a session lives from its last use: 30 days, in microseconds.
pub const SESSION_LIFE_MICROSECONDS: i64 = 30 * 24 * 3600 * 1_000_000;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Orders of one's own.
    Customer,
    /// Inventory and every order.
    Staff,
    /// Staff, and roles and projections.
    Admin,
}

/// A user as its events made it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `None` until registered.
    pub existing: Option<ExistingUser>,
}

/// A user that is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingUser {
    /// Its id.
    pub id: UserId,
    /// The claim on its address.
    pub email_hash: EmailHash,
    /// Names the key that its personal data is sealed with.
    pub key_id: PersonalKeyId,
    /// The sealed address.
    pub email: Sealed,
    /// The sealed name.
    pub name: Sealed,
    /// The sealed password hash.
    pub password_hash: Sealed,
    /// What it may do.
    pub role: Role,
    /// When it registered.
    pub created_at: Time,
    /// Its sessions, oldest use first.
    pub sessions: Vec<Session>,
}

/// One log-in and what it gave out since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The number of the newest refresh token given out, from 1. The one before is good until
    /// this one is first used.
    pub counter: u64,
    /// When it was last used.
    pub used_at: Time,
}

/// What a client or an administrator wants of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserCommand {
    /// Open an account.
    Register {
        /// The new user's id.
        id: UserId,
        /// The claim on the address; the gate refuses one that is taken.
        email_hash: EmailHash,
        /// Names the key of what is sealed below.
        key_id: PersonalKeyId,
        /// The sealed address.
        email: Sealed,
        /// The sealed name.
        name: Sealed,
        /// The sealed password hash.
        password_hash: Sealed,
        /// What it may do.
        role: Role,
        /// Now.
        at: Time,
    },
    /// Change the name.
    Rename {
        /// The sealed name.
        name: Sealed,
    },
    /// Change the password; every session but the given one ends.
    ChangePassword {
        /// The sealed hash of the new password.
        password_hash: Sealed,
        /// The session that asked.
        keep: Option<SessionId>,
    },
    /// Change the role.
    SetRole {
        /// The new role.
        role: Role,
    },
    /// Log in; the password was verified.
    StartSession {
        /// The new session's id.
        session: SessionId,
        /// Now.
        at: Time,
    },
    /// Use a refresh token, whose authenticity was verified.
    RefreshSession {
        /// The session that the token names.
        session: SessionId,
        /// The token's number.
        counter: u64,
        /// Now.
        at: Time,
    },
    /// Log out.
    EndSession {
        /// Which session.
        session: SessionId,
    },
}

/// What happened to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum UserEvent {
    /// An account was opened.
    UserRegistered {
        /// Its id.
        id: UserId,
        /// The claim on its address.
        email_hash: EmailHash,
        /// Names the key of what is sealed.
        key_id: PersonalKeyId,
        /// The sealed address.
        email: Sealed,
        /// The sealed name.
        name: Sealed,
        /// The sealed password hash.
        password_hash: Sealed,
        /// What it may do.
        role: Role,
        /// When.
        at: Time,
    },
    /// The name changed.
    UserRenamed {
        /// The sealed name.
        name: Sealed,
    },
    /// The password changed and sessions ended.
    PasswordChanged {
        /// The sealed hash.
        password_hash: Sealed,
        /// The session that stays.
        keep: Option<SessionId>,
    },
    /// The role changed.
    RoleChanged {
        /// The new role.
        role: Role,
    },
    /// A log-in.
    SessionStarted {
        /// Its id.
        session: SessionId,
        /// When.
        at: Time,
    },
    /// The newest refresh token was used for the first time; its successor was given out.
    SessionRefreshed {
        /// Which session.
        session: SessionId,
        /// The successor's number.
        counter: u64,
        /// When.
        at: Time,
    },
    /// A session ended: by logging out, by age, by too many, or because an old token came back.
    SessionEnded {
        /// Which session.
        session: SessionId,
    },
}

/// Why the domain refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserRefusal {
    /// There is no such user.
    #[error("this user does not exist")]
    NotFound,
    /// A user with this id registered before.
    #[error("this user is registered already")]
    AlreadyRegistered,
    /// The session ended, or never was.
    #[error("this session has ended")]
    SessionEnded,
}

impl User {
    /// Decides what a command does to this user.
    ///
    /// # Errors
    /// The refusal that is true.
    pub fn decide(&self, command: &UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
        if let UserCommand::Register {
            id,
            email_hash,
            key_id,
            email,
            name,
            password_hash,
            role,
            at,
        } = command
        {
            if self.existing.is_some() {
                return Err(UserRefusal::AlreadyRegistered);
            }
            return Ok(vec![UserEvent::UserRegistered {
                id: *id,
                email_hash: email_hash.clone(),
                key_id: *key_id,
                email: email.clone(),
                name: name.clone(),
                password_hash: password_hash.clone(),
                role: *role,
                at: *at,
            }]);
        }
        self.existing
            .as_ref()
            .ok_or(UserRefusal::NotFound)?
            .decide(command)
    }

    /// Takes in what happened.
    pub fn apply_event(&mut self, event: &UserEvent) {
        if let UserEvent::UserRegistered {
            id,
            email_hash,
            key_id,
            email,
            name,
            password_hash,
            role,
            at,
        } = event
        {
            self.existing = Some(ExistingUser {
                id: *id,
                email_hash: email_hash.clone(),
                key_id: *key_id,
                email: email.clone(),
                name: name.clone(),
                password_hash: password_hash.clone(),
                role: *role,
                created_at: *at,
                sessions: vec![],
            });
        } else if let Some(user) = &mut self.existing {
            user.apply(event);
        }
    }
}

impl ExistingUser {
    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    fn decide(&self, command: &UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
        Ok(match command {
            UserCommand::Register { .. } => return Err(UserRefusal::AlreadyRegistered),
            UserCommand::Rename { name } => vec![UserEvent::UserRenamed { name: name.clone() }],
            UserCommand::ChangePassword {
                password_hash,
                keep,
            } => {
                vec![UserEvent::PasswordChanged {
                    password_hash: password_hash.clone(),
                    keep: *keep,
                }]
            }
            UserCommand::SetRole { role } if *role == self.role => vec![],
            UserCommand::SetRole { role } => vec![UserEvent::RoleChanged { role: *role }],
            UserCommand::StartSession { session, at } => self.start_session(*session, *at),
            UserCommand::RefreshSession {
                session,
                counter,
                at,
            } => self.refresh_session(*session, *counter, *at)?,
            UserCommand::EndSession { session } => match self.session(*session) {
                Some(_) => vec![UserEvent::SessionEnded { session: *session }],
                None => vec![],
            },
        })
    }

    fn start_session(&self, session: SessionId, at: Time) -> Vec<UserEvent> {
        let surplus = (self.sessions.len() + 1).saturating_sub(SESSIONS_MAX);
        let ended = self.sessions[..surplus].iter();
        ended
            .map(|oldest| UserEvent::SessionEnded { session: oldest.id })
            .chain([UserEvent::SessionStarted { session, at }])
            .collect()
    }

    /// The newest token moves the session on; the one before it changes nothing (its answer was
    /// lost, or two tabs asked at once: report R01); anything older was stolen or replayed and
    /// ends the session.
    fn refresh_session(
        &self,
        id: SessionId,
        counter: u64,
        at: Time,
    ) -> Result<Vec<UserEvent>, UserRefusal> {
        let session = self.session(id).ok_or(UserRefusal::SessionEnded)?;
        if at.microseconds() - session.used_at.microseconds() > SESSION_LIFE_MICROSECONDS {
            return Ok(vec![UserEvent::SessionEnded { session: id }]);
        }
        if counter == session.counter {
            return Ok(vec![UserEvent::SessionRefreshed {
                session: id,
                counter: counter + 1,
                at,
            }]);
        }
        if counter + 1 == session.counter {
            return Ok(vec![]);
        }
        Ok(vec![UserEvent::SessionEnded { session: id }])
    }

    fn apply(&mut self, event: &UserEvent) {
        match event {
            UserEvent::UserRegistered { .. } => {}
            UserEvent::UserRenamed { name } => self.name = name.clone(),
            UserEvent::PasswordChanged {
                password_hash,
                keep,
            } => {
                self.password_hash = password_hash.clone();
                self.sessions.retain(|session| Some(session.id) == *keep);
            }
            UserEvent::RoleChanged { role } => self.role = *role,
            UserEvent::SessionStarted { session, at } => {
                self.sessions.push(Session {
                    id: *session,
                    counter: 1,
                    used_at: *at,
                });
            }
            UserEvent::SessionRefreshed {
                session,
                counter,
                at,
            } => {
                if let Some(index) = self.sessions.iter().position(|s| s.id == *session) {
                    let mut used = self.sessions.remove(index);
                    used.counter = *counter;
                    used.used_at = *at;
                    self.sessions.push(used);
                }
            }
            UserEvent::SessionEnded { session } => self.sessions.retain(|s| s.id != *session),
        }
    }
}

impl DomainEvent for UserEvent {
    fn event_type(&self) -> String {
        match self {
            Self::UserRegistered { .. } => "user-registered",
            Self::UserRenamed { .. } => "user-renamed",
            Self::PasswordChanged { .. } => "password-changed",
            Self::RoleChanged { .. } => "role-changed",
            Self::SessionStarted { .. } => "session-started",
            Self::SessionRefreshed { .. } => "session-refreshed",
            Self::SessionEnded { .. } => "session-ended",
        }
        .to_owned()
    }
    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for User {
    const TYPE: &'static str = "users";
    type Command = UserCommand;
    type Event = UserEvent;
    type Error = UserRefusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        for event in self.decide(&command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        self.apply_event(&event);
    }
}

#[cfg(test)]
mod tests;
