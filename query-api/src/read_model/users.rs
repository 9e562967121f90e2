//! Users. Personal data comes out as it went in: sealed, with the wrapped key beside it.

use domain::email::EmailHash;
use domain::ids::{PersonalKeyId, UserId};
use domain::text::Sealed;
use domain::time::Time;
use domain::user::Role;
use migrations::{DatabaseError, Row, Value};

use super::ReadModels;
use super::paging::{self, After, Id, ListQuestion, Page, Paging};

const BY_ID: &str = "SELECT u.id, u.email_hash, u.key_id, u.email, u.name, u.role, u.created_at, \
     u.version, k.wrapped FROM users u LEFT JOIN user_keys k ON k.key_id = u.key_id \
     WHERE u.id = ?";
const LIST: &str = "SELECT u.id, u.email_hash, u.key_id, u.email, u.name, u.role, u.created_at, \
     u.version, k.wrapped FROM users u LEFT JOIN user_keys k ON k.key_id = u.key_id \
     WHERE u.version > 0";
const NEWEST_FIRST: paging::Order = paging::Order {
    time: "u.created_at",
    id: Id::Bytes("u.id"),
};

/// A user as far as its records are in the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The keyed hash of its address.
    pub email_hash: EmailHash,
    /// Names the key that the rest is sealed with.
    pub key_id: PersonalKeyId,
    /// The wrapped key as the log has it; `None` where it was erased or is not here yet.
    pub wrapped_key: Option<Vec<u8>>,
    /// The sealed address.
    pub email: Sealed,
    /// The sealed name.
    pub name: Sealed,
    /// What it may do.
    pub role: Role,
    /// When it registered.
    pub created_at: Time,
    /// Its version.
    pub version: u64,
}

impl ReadModels {
    /// One user.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, DatabaseError> {
        let values = [Value::Bytes(id.0.as_bytes())];
        let rows = self.database.select(BY_ID, &values).await?;
        rows.first().map(user).transpose()
    }

    /// The users who registered last; with `email`, those of that address. There may briefly be
    /// two: an address can be seen taken again before it is seen given up.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn users(
        &self,
        email: Option<&EmailHash>,
        paging: &Paging,
    ) -> Result<Page<User>, DatabaseError> {
        let mut question = ListQuestion::new(LIST, []);
        if let Some(email) = email {
            question.and("u.email_hash = ?", [Value::Text(email.as_str())]);
        }
        let read = |row: &Row| {
            let user = user(row)?;
            let (at, id) = (user.created_at, user.id.0.as_bytes().to_vec());
            Ok((user, After { at, id }))
        };
        question
            .page(&self.database, NEWEST_FIRST, paging, read)
            .await
    }
}

fn user(row: &Row) -> Result<User, DatabaseError> {
    Ok(User {
        id: UserId(row.uuid(0)?),
        email_hash: row.parsed(1, EmailHash::parse)?,
        key_id: PersonalKeyId(row.uuid(2)?),
        email: row.parsed(3, Sealed::parse)?,
        name: row.parsed(4, Sealed::parse)?,
        role: row.word(5)?,
        created_at: Time::from_microseconds(row.integer(6)?),
        version: row.unsigned(7)?,
        wrapped_key: row.optional_bytes(8)?,
    })
}
