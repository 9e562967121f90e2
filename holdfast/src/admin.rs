//! The operator's side: the first administrator, `user create`, and the socket by which it
//! reaches a running embedded server.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use command_api::commands::Commands;
use command_api::commands::users::UserError;
use command_api::commit::{CommitError, Request};
use command_api::gate::Refusal;
use domain::email::Email;
use domain::text::{Name, Password};
use domain::user::Role;
use event_log::EventLog;
use projectors::ReadModels;
use rand::Rng;
use rand::distr::Alphanumeric;
use record::reader::{HighestFence, Standing};
use record::{Envelope, Partition, Position, Topic};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The first administrator's address, where none is given.
const DEFAULT_ADMIN_EMAIL: &str = "admin@holdfast.example";
/// Where its password may be given.
const ADMIN_PASSWORD_VARIABLE: &str = "HOLDFAST_ADMIN_PASSWORD";
/// Characters of a generated password: 24 of 62 make 142 bits.
const GENERATED_PASSWORD_LENGTH: usize = 24;

/// A user that the operator wants.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NewUser {
    /// Its address.
    pub email: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its password.
    pub password: String,
}

/// The first administrator's credentials, when they were generated.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// Its address.
    pub email: String,
    /// Its password; shown once.
    pub password: String,
}

/// Makes the first administrator, where nobody has registered. Returns its credentials where they
/// were generated here and nobody else knows them.
///
/// # Errors
/// One sentence where the given address or password cannot be used.
pub(crate) async fn first_admin(
    commands: &Commands,
    email: Option<&str>,
) -> Result<Option<Credentials>> {
    let given = std::env::var(ADMIN_PASSWORD_VARIABLE).ok();
    let generated = given.is_none();
    let password = given.unwrap_or_else(|| {
        rand::rng()
            .sample_iter(Alphanumeric)
            .take(GENERATED_PASSWORD_LENGTH)
            .map(char::from)
            .collect()
    });
    let email = email.unwrap_or(DEFAULT_ADMIN_EMAIL).to_owned();
    let (name, role) = ("Administrator".to_owned(), Role::Admin);
    let user = NewUser {
        email: email.clone(),
        name,
        role,
        password: password.clone(),
    };
    match create_user(commands, user).await {
        Ok(()) => Ok(generated.then_some(Credentials { email, password })),
        // Another process was first.
        Err(CreateError::Taken) => Ok(None),
        Err(error) if generated && error.may_have_worked() => Err(error).context(format!(
            "it is not known whether the first administrator was made; if it was, its address is {email} and its password {password}, which is shown once"
        )),
        Err(error) => Err(error).context("the first administrator could not be made"),
    }
}

/// Whether the log has a valid record of a user. Before the first one there are only fences, one
/// per epoch, and records that a fence made void.
///
/// # Errors
/// When the log does not answer.
pub(crate) async fn anybody_has_registered(log: &dyn EventLog) -> Result<bool> {
    for number in 0..log.layout().count(Topic::Users) {
        let partition = Partition {
            topic: Topic::Users,
            number,
        };
        let extent = log.extent(partition).await?;
        let mut next = extent.start;
        if next >= extent.end {
            continue;
        }
        let mut fence = HighestFence::default();
        let mut tail = log
            .tail(vec![Position {
                partition,
                offset: next,
            }])
            .await?;
        while next < extent.end {
            for raw in tail.next().await?.records {
                let envelope = Envelope::decode(&raw.payload)?.0;
                if fence.judge(&envelope) == Standing::Valid {
                    return Ok(true);
                }
                next = raw.offset + 1;
            }
        }
    }
    Ok(false)
}

/// Why a user could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    /// A value cannot be used.
    #[error("the {0} cannot be used: {1}")]
    Invalid(&'static str, domain::Invalid),
    /// The address belongs to another user.
    #[error("a user with this address exists already; choose another address")]
    Taken,
    /// As every command.
    #[error("the user could not be made: {0}; try again")]
    Failed(UserError),
}

impl CreateError {
    /// Whether the user may have been made all the same.
    fn may_have_worked(&self) -> bool {
        matches!(
            self,
            Self::Failed(UserError::Commit(CommitError::OutcomeUnknown(_)))
        )
    }
}

/// Makes a user with a role, as the operator.
///
/// # Errors
/// See [`CreateError`].
pub(crate) async fn create_user(commands: &Commands, user: NewUser) -> Result<(), CreateError> {
    let invalid = |what| move |error| CreateError::Invalid(what, error);
    let email = Email::parse(&user.email).map_err(invalid("address"))?;
    let name = Name::parse(&user.name).map_err(invalid("name"))?;
    let password = Password::parse(&user.password).map_err(invalid("password"))?;
    let request = Request {
        actor: record::Actor::Operator,
        key: None,
        correlation_id: Uuid::now_v7(),
        traceparent: None,
    };
    match commands
        .register(request, email, name, password, user.role)
        .await
    {
        Ok(_) => Ok(()),
        Err(UserError::Commit(CommitError::Refused {
            refusal: Refusal::EmailTaken,
            ..
        })) => Err(CreateError::Taken),
        Err(error) => Err(CreateError::Failed(error)),
    }
}

/// What the operator reaches by the socket of a running embedded server.
#[derive(Clone)]
pub(crate) struct Operators {
    /// What decides.
    pub commands: Commands,
    /// The log of the shop.
    pub log: Arc<dyn EventLog>,
    /// The read models, as the server's own projectors write them.
    pub read_models: ReadModels,
}

impl FromRef<Operators> for Commands {
    fn from_ref(operators: &Operators) -> Self {
        operators.commands.clone()
    }
}

/// Serves the operator's socket until the process stops. A socket that a killed process left
/// behind is replaced: whoever holds the data directory's lock is the owner.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn serve_socket(
    path: &Path,
    operators: Operators,
    stopping: CancellationToken,
) -> Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = std::os::unix::net::UnixListener::bind(path)
        .with_context(|| {
            format!(
                "the socket {} cannot be made; where its path has more than 107 bytes, choose a shorter --data",
                path.display()
            )
        })?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let router = Router::new()
        .route("/users", post(create))
        .route("/epoch", post(crate::epoch::change_here))
        .route("/replay", post(crate::replay::replay_here))
        .with_state(operators);
    let path = path.to_owned();
    tokio::spawn(async move {
        let stopped = stopping.cancelled_owned();
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
        {
            tracing::warn!(%error, "the operator's socket is closed");
        }
        let _ = std::fs::remove_file(path);
    });
    Ok(())
}

async fn create(
    State(commands): State<Commands>,
    Json(user): Json<NewUser>,
) -> Result<StatusCode, (StatusCode, String)> {
    match create_user(&commands, user).await {
        Ok(()) => Ok(StatusCode::CREATED),
        Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
    }
}

/// Asks a running embedded server to make a user. `None` where no server answers.
///
/// # Errors
/// The server's sentence.
pub(crate) async fn create_user_at(socket: &Path, user: &NewUser) -> Result<Option<()>> {
    let client = reqwest::Client::builder().unix_socket(socket).build()?;
    let Ok(answer) = client
        .post("http://localhost/users")
        .json(user)
        .send()
        .await
    else {
        return Ok(None);
    };
    if answer.status() == StatusCode::CREATED {
        return Ok(Some(()));
    }
    bail!("{}", answer.text().await.unwrap_or_default())
}

/// The password of a new user: from `HOLDFAST_PASSWORD`, a prompt on a terminal, or the first line
/// of stdin. The line's end is not part of it; blanks are.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_password() -> Result<String> {
    use std::io::IsTerminal;
    if let Ok(password) = std::env::var("HOLDFAST_PASSWORD") {
        return Ok(password);
    }
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ").context("the password cannot be read");
    }
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .context("the password cannot be read from stdin")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use event_log::Entry;
    use event_log::sqlite::{SqliteLog, SqliteSettings};
    use record::envelope::FORMAT;
    use record::{AggregateType, RecordId};

    use super::*;

    async fn append(log: &SqliteLog, payload: Vec<u8>) {
        let entry = Entry {
            partition: Partition {
                topic: Topic::Users,
                number: 0,
            },
            key: String::new(),
            payload: Some(payload.into()),
            id: RecordId(Uuid::now_v7()),
        };
        log.append_one(entry).await.unwrap();
    }

    fn of_a_user(epoch: u64) -> Vec<u8> {
        let envelope = Envelope {
            format: FORMAT,
            id: RecordId(Uuid::now_v7()),
            epoch,
            aggregate_type: AggregateType::Users,
            aggregate_id: Uuid::now_v7().to_string(),
            version: 1,
        };
        envelope.encode("{}")
    }

    /// Otherwise nobody would ever be told a password.
    #[tokio::test]
    async fn a_record_that_a_fence_made_void_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(folder.path(), SqliteSettings::default()).unwrap();
        let fence = |epoch| Envelope::fence(epoch, RecordId(Uuid::now_v7())).encode("{}");
        append(&log, fence(1)).await;
        append(&log, fence(2)).await;
        append(&log, of_a_user(1)).await;
        assert!(!anybody_has_registered(&log).await.unwrap());
        append(&log, of_a_user(2)).await;
        assert!(anybody_has_registered(&log).await.unwrap());
    }
}
