//! The projection of users: one row per user. Personal data stays sealed; password hashes and
//! sessions are the write side's and stay out.

use domain::email::EmailHash;
use domain::ids::{PersonalKeyId, UserId};
use domain::text::Sealed;
use domain::time::Time;
use domain::user::{Role, UserEvent};
use migrations::words::word;
use migrations::{DatabaseError, Row};

use crate::fold::{Applicable, Impossible, Projected, Rows};
use crate::store::literal::Literal;
use crate::store::statement::{OnConflict, Upsert, Written};

/// A row of `users`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRow {
    id: UserId,
    email_hash: EmailHash,
    key_id: PersonalKeyId,
    email: Sealed,
    name: Sealed,
    role: Role,
    created_at: Time,
    version: u64,
}

/// Takes the events of one record into the rows.
///
/// # Errors
/// When they cannot follow what is known of the user.
pub(crate) fn fold(
    rows: &mut Rows<UserRow>,
    record: &Applicable,
    events: &[UserEvent],
) -> Result<(), Impossible> {
    for event in events {
        if let UserEvent::UserRegistered {
            id,
            email_hash,
            key_id,
            email,
            name,
            role,
            at,
            ..
        } = event
        {
            if rows.get_mut(record).is_some() {
                return Err(Impossible("the user registered before"));
            }
            let row = UserRow {
                id: *id,
                email_hash: email_hash.clone(),
                key_id: *key_id,
                email: email.clone(),
                name: name.clone(),
                role: *role,
                created_at: *at,
                version: record.envelope.version,
            };
            rows.insert(record, row);
        } else {
            rows.get_mut(record).ok_or(NEVER_REGISTERED)?.apply(event);
        }
    }
    rows.get_mut(record).ok_or(NEVER_REGISTERED)?.version = record.envelope.version;
    Ok(())
}

const NEVER_REGISTERED: Impossible = Impossible("the user never registered");

impl UserRow {
    fn apply(&mut self, event: &UserEvent) {
        match event {
            UserEvent::UserRenamed { name } => self.name = name.clone(),
            UserEvent::RoleChanged { role } => self.role = *role,
            UserEvent::UserRegistered { .. }
            | UserEvent::PasswordChanged { .. }
            | UserEvent::SessionStarted { .. }
            | UserEvent::SessionRefreshed { .. }
            | UserEvent::SessionEnded { .. } => {}
        }
    }
}

impl Projected for UserRow {
    const KNOWN: &'static str =
        "SELECT id, email_hash, key_id, email, name, role, created_at, version FROM users";

    fn aggregate_id(&self) -> String {
        self.id.to_string()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn read(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: UserId(row.uuid(0)?),
            email_hash: row.parsed(1, EmailHash::parse)?,
            key_id: PersonalKeyId(row.uuid(2)?),
            email: row.parsed(3, Sealed::parse)?,
            name: row.parsed(4, Sealed::parse)?,
            role: row.word(5)?,
            created_at: Time::from_microseconds(row.integer(6)?),
            version: row.unsigned(7)?,
        })
    }
}

impl Written for UserRow {
    const UPSERT: Upsert = Upsert {
        table: "users",
        columns: &[
            ("id", OnConflict::Keep),
            ("email_hash", OnConflict::Replace),
            ("key_id", OnConflict::Replace),
            ("email", OnConflict::Replace),
            ("name", OnConflict::Replace),
            ("role", OnConflict::Replace),
            ("created_at", OnConflict::Keep),
            ("version", OnConflict::Replace),
        ],
        key: &["id"],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        vec![
            Literal::Bytes(self.id.0.as_bytes()),
            Literal::text(self.email_hash.as_str()),
            Literal::Bytes(self.key_id.0.as_bytes()),
            Literal::text(self.email.as_str()),
            Literal::text(self.name.as_str()),
            Literal::text(word(self.role)),
            Literal::Integer(self.created_at.microseconds()),
            Literal::unsigned(self.version),
        ]
    }
}
