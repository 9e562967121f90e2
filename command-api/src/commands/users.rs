//! Accounts. Personal data is sealed before a record is made of it, with a key that
//! is durable before the gate decides (step 2): two attempts make two keys, an orphan is harmless.

use std::sync::Arc;

use domain::email::{Email, EmailHash};
use domain::ids::{SessionId, UserId};
use domain::text::{Name, Password};
use domain::time::Time;
use domain::user::{ExistingUser, Role, User, UserCommand, UserRefusal};
use event_log::{Entry, LogError};
use personal_data::{Field, PersonalKey, Secrets, WrappedKey};
use record::{AggregateType, Events, Partition, Position, RecordId};
use serde::{Deserialize, Serialize};

use crate::commands::passwords::Passwords;
use crate::commands::{Commands, Outcome, read_snapshot, snapshot};
use crate::commit::{CommitError, Committed, Decided, Handler, Loaded, Needs, Request, Undecided};
use crate::epoch::recovery::append_until_known;
use crate::gate::{AggregateKey, Claim, Look, Looked, Refusal};

/// What commands on users need besides the committer.
#[derive(Debug)]
pub struct Personal {
    /// The secrets file.
    pub secrets: Arc<Secrets>,
    /// The password hasher.
    pub passwords: Passwords,
}

/// A user in the gate: the aggregate, and the key that opens it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSnapshot {
    /// The aggregate.
    pub user: User,
    /// Its personal key, wrapped; empty where it was erased.
    pub wrapped_key: String,
}

/// A user as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserNow {
    /// Its id.
    pub id: UserId,
    /// Its address; `None` once it was erased.
    pub email: Option<String>,
    /// Its name; `None` once it was erased.
    pub name: Option<String>,
    /// What it may do.
    pub role: Role,
    /// When it registered.
    pub created_at: Time,
}

/// Why a user's command has no 2xx.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Address and password do not fit, or the session has ended.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// As every command.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// The claim on an address.
pub fn email_claim(email_hash: &EmailHash) -> String {
    format!("email:{email_hash}")
}

struct Register {
    id: UserId,
    email_hash: EmailHash,
    email: String,
    name: Name,
    password_hash: String,
    role: Role,
    key: PersonalKey,
    wrapped_key: WrappedKey,
}

/// Makes the domain's command from the user as it is, its personal key and the time.
type MakeCommand = dyn Fn(&ExistingUser, Option<&PersonalKey>, Time) -> UserCommand + Send + Sync;

/// A command on a user that exists.
struct Change {
    id: UserId,
    make: Box<MakeCommand>,
    secrets: Arc<Secrets>,
}

impl Commands {
    /// Opens an account.
    ///
    /// # Errors
    /// See [`CommitError`]; [`Refusal::EmailTaken`].
    pub async fn register(
        &self,
        request: Request,
        email: Email,
        name: Name,
        password: Password,
        role: Role,
    ) -> Result<(Outcome<UserNow>, Position), UserError> {
        let secrets = &self.personal.secrets;
        let hash = self
            .personal
            .passwords
            .hash(password.clone())
            .await
            .map_err(|_| CommitError::Busy)?;
        let key = PersonalKey::generate();
        let wrapped_key = secrets.wrap_key(&key);
        let key_at = self.keep_key(&key, &wrapped_key).await?;
        let answered_name = name.as_str().to_owned();
        let handler = Register {
            id: UserId(self.committer.new_id()),
            email_hash: secrets.email_hash(&email),
            email: email.as_str().to_owned(),
            name,
            password_hash: hash,
            role,
            key,
            wrapped_key,
        };
        let committed = self.committer.commit(request, handler).await?;
        let mut outcome = self.user_after(committed).await?;
        if outcome.replayed {
            self.check_replayed_password(outcome.value.id, password)
                .await?;
            // The first answer, whatever the user is called and may do by now.
            (outcome.value.name, outcome.value.role) = (Some(answered_name), role);
        }
        Ok((outcome, key_at))
    }

    /// A secret is not kept for the fingerprint: a repeated registration is compared by the
    /// password's hash.
    async fn check_replayed_password(
        &self,
        id: UserId,
        password: Password,
    ) -> Result<(), UserError> {
        let snapshot = self.user_snapshot(Look::Aggregate(key(id))).await?;
        let hash = snapshot.and_then(|snapshot| self.password_hash(&snapshot));
        match self.personal.passwords.verify(password, hash).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(CommitError::KeyReused.into()),
            Err(_) => Err(CommitError::OutcomeUnknown("too many log-ins".to_owned()).into()),
        }
    }

    /// Makes a personal key durable, before any record names it. Where it stands, at the latest.
    async fn keep_key(
        &self,
        key: &PersonalKey,
        wrapped: &WrappedKey,
    ) -> Result<Position, CommitError> {
        let entry = Entry {
            partition: Partition::USER_KEYS,
            key: key.id().to_string(),
            payload: Some(wrapped.as_str().to_owned().into()),
            id: RecordId(self.committer.new_id()),
        };
        let unavailable = |error: LogError| CommitError::Unavailable(error.to_string());
        let (log, partition) = (&*self.committer.log, Partition::USER_KEYS);
        let offset = match append_until_known(log, entry).await.map_err(unavailable)? {
            Some(offset) => offset,
            // Acknowledged, so it stands below the end.
            None => log
                .extent(partition)
                .await
                .map_err(unavailable)?
                .end
                .saturating_sub(1),
        };
        Ok(Position { partition, offset })
    }

    /// Changes a user's name.
    ///
    /// # Errors
    /// As every command.
    pub async fn rename(
        &self,
        request: Request,
        user: UserId,
        name: Name,
    ) -> Result<Outcome<UserNow>, UserError> {
        let answered = name.as_str().to_owned();
        let make = move |user: &ExistingUser, key: Option<&PersonalKey>, _| UserCommand::Rename {
            name: key.map_or_else(
                || user.name.clone(),
                |key| key.seal(Field::Name, name.as_str()),
            ),
        };
        let committed = self.change(request, user, make).await?;
        let mut outcome = self.user_after(committed).await?;
        if outcome.replayed {
            // The first answer had this name, whatever the user is called by now.
            outcome.value.name = Some(answered);
        }
        Ok(outcome)
    }

    /// Changes a user's password; every session but `keep` ends.
    ///
    /// # Errors
    /// [`UserError::InvalidCredentials`] where the current password does not fit.
    pub async fn change_password(
        &self,
        request: Request,
        user: UserId,
        keep: SessionId,
        current: Password,
        new: Password,
    ) -> Result<Outcome<()>, UserError> {
        let snapshot = self.user_snapshot(Look::Aggregate(key(user))).await?;
        let hash = snapshot
            .as_ref()
            .and_then(|snapshot| self.password_hash(snapshot));
        let passwords = &self.personal.passwords;
        let fits = passwords
            .verify(current, hash)
            .await
            .map_err(|_| CommitError::Busy)?;
        if !fits {
            return Err(UserError::InvalidCredentials);
        }
        let hash = passwords.hash(new).await.map_err(|_| CommitError::Busy)?;
        let make = move |user: &ExistingUser, key: Option<&PersonalKey>, _| {
            let sealed = key.map(|key| key.seal(Field::PasswordHash, &hash));
            let password_hash = sealed.unwrap_or_else(|| user.password_hash.clone());
            UserCommand::ChangePassword {
                password_hash,
                keep: Some(keep),
            }
        };
        let committed = self.change(request, user, make).await?;
        Ok(Outcome {
            value: (),
            replayed: committed.replayed,
            position: committed.position,
        })
    }

    /// Changes a user's role. An administrator cannot take the role from itself
    /// ([`Refusal::LastAdmin`]): so long as every demotion is somebody else's, one is left.
    ///
    /// # Errors
    /// As every command.
    pub async fn set_role(
        &self,
        request: Request,
        user: UserId,
        role: Role,
    ) -> Result<Outcome<UserNow>, UserError> {
        let own = matches!(request.actor, record::Actor::User { id, .. } if id == user);
        if own && role != Role::Admin {
            let refusal = Refusal::LastAdmin;
            return Err(CommitError::Refused {
                refusal,
                replayed: false,
            }
            .into());
        }
        let make =
            move |_: &ExistingUser, _: Option<&PersonalKey>, _| UserCommand::SetRole { role };
        let committed = self.change(request, user, make).await?;
        let mut outcome = self.user_after(committed).await?;
        if outcome.replayed {
            // As above.
            outcome.value.role = role;
        }
        Ok(outcome)
    }

    /// Whether any user has registered: on an empty log the first administrator is made.
    ///
    /// # Errors
    /// Where the gate cannot be asked.
    pub async fn email_is_taken(&self, email: &Email) -> Result<bool, CommitError> {
        let claim = email_claim(&self.personal.secrets.email_hash(email));
        Ok(self.user_snapshot(Look::Claimed(claim)).await?.is_some())
    }

    pub(super) async fn change(
        &self,
        request: Request,
        id: UserId,
        make: impl Fn(&ExistingUser, Option<&PersonalKey>, Time) -> UserCommand + Send + Sync + 'static,
    ) -> Result<Committed, UserError> {
        let secrets = Arc::clone(&self.personal.secrets);
        let handler = Change {
            id,
            make: Box::new(make),
            secrets,
        };
        match self.committer.commit(request, handler).await {
            Err(CommitError::Refused {
                refusal: Refusal::SessionEnded,
                ..
            }) => Err(UserError::InvalidCredentials),
            result => Ok(result?),
        }
    }

    pub(super) async fn user_snapshot(
        &self,
        look: Look,
    ) -> Result<Option<UserSnapshot>, CommitError> {
        let epoch = self
            .committer
            .keeper
            .open()
            .await
            .map_err(CommitError::Unavailable)?;
        match self.committer.look(&epoch, look).await? {
            Looked::Aggregate(aggregate) => serde_json::from_str(&aggregate.snapshot)
                .map(Some)
                .map_err(|error| CommitError::Unavailable(error.to_string())),
            _ => Ok(None),
        }
    }

    pub(super) fn password_hash(&self, snapshot: &UserSnapshot) -> Option<String> {
        let user = snapshot.user.existing.as_ref()?;
        personal_key(&self.personal.secrets, user, &snapshot.wrapped_key)?
            .open(Field::PasswordHash, &user.password_hash)
            .ok()
    }

    /// The user after a committed command: from the attempt's own snapshot, or as the gate has it.
    async fn user_after(&self, committed: Committed) -> Result<Outcome<UserNow>, UserError> {
        let unreadable = || CommitError::OutcomeUnknown("the user cannot be read now".to_owned());
        let snapshot: UserSnapshot = match &committed.snapshot {
            Some(snapshot) => serde_json::from_str(snapshot).map_err(|_| unreadable())?,
            None => {
                let id = Arc::from(committed.record.envelope.aggregate_id.as_str());
                let look = Look::Aggregate(AggregateKey {
                    kind: AggregateType::Users,
                    id,
                });
                let found = self.user_snapshot(look).await.map_err(|_| unreadable())?;
                found.ok_or_else(unreadable)?
            }
        };
        let user = snapshot.user.existing.as_ref().ok_or_else(unreadable)?;
        let key = personal_key(&self.personal.secrets, user, &snapshot.wrapped_key);
        let open = |field, sealed| key.as_ref()?.open(field, sealed).ok();
        let value = UserNow {
            id: user.id,
            email: open(Field::Email, &user.email),
            name: open(Field::Name, &user.name),
            role: user.role,
            created_at: user.created_at,
        };
        Ok(Outcome {
            value,
            replayed: committed.replayed,
            position: committed.position,
        })
    }
}

pub(super) fn key(id: UserId) -> AggregateKey {
    AggregateKey {
        kind: AggregateType::Users,
        id: Arc::from(id.to_string()),
    }
}

fn personal_key(secrets: &Secrets, user: &ExistingUser, wrapped: &str) -> Option<PersonalKey> {
    let wrapped = WrappedKey::parse(wrapped).ok()?;
    secrets.unwrap_key(user.key_id, &wrapped).ok()
}

fn refusal(refusal: UserRefusal) -> Refusal {
    match refusal {
        UserRefusal::NotFound => Refusal::NotFound,
        UserRefusal::AlreadyRegistered => Refusal::EmailTaken,
        UserRefusal::SessionEnded => Refusal::SessionEnded,
    }
}

fn decided(
    mut state: UserSnapshot,
    command: &UserCommand,
    claims: Vec<Claim>,
) -> Result<Decided, Undecided> {
    let events = state.user.decide(command).map_err(refusal)?;
    events
        .iter()
        .for_each(|event| state.user.apply_event(event));
    let snapshot = Some(snapshot(&state));
    Ok(Decided {
        events: Events::Users(events),
        snapshot,
        claims,
        available: None,
        discontinued: None,
    })
}

impl Handler for Register {
    fn aggregate(&self) -> AggregateKey {
        key(self.id)
    }

    fn needs(&self) -> Needs {
        Needs::Fresh
    }

    fn decide(&self, _loaded: &Loaded, now: Time) -> Result<Decided, Undecided> {
        let command = UserCommand::Register {
            id: self.id,
            email_hash: self.email_hash.clone(),
            key_id: self.key.id(),
            email: self.key.seal(Field::Email, &self.email),
            name: self.key.seal(Field::Name, self.name.as_str()),
            password_hash: self.key.seal(Field::PasswordHash, &self.password_hash),
            role: self.role,
            at: now,
        };
        let owner = Arc::from(self.id.to_string());
        let claims = vec![Claim {
            name: email_claim(&self.email_hash),
            owner,
        }];
        let wrapped_key = self.wrapped_key.as_str().to_owned();
        decided(
            UserSnapshot {
                user: User::default(),
                wrapped_key,
            },
            &command,
            claims,
        )
    }
}

impl Handler for Change {
    fn aggregate(&self) -> AggregateKey {
        key(self.id)
    }

    fn needs(&self) -> Needs {
        Needs::State
    }

    fn decide(&self, loaded: &Loaded, now: Time) -> Result<Decided, Undecided> {
        let state: UserSnapshot = read_snapshot(loaded)?;
        let user = state.user.existing.as_ref().ok_or(Refusal::NotFound)?;
        let key = personal_key(&self.secrets, user, &state.wrapped_key);
        let command = (self.make)(user, key.as_ref(), now);
        decided(state, &command, vec![])
    }
}
