//! The projection of `user-keys`: the wrapped keys beside the read models that hold what they seal.
//!
//! That topic has no records, fences or versions: each entry is a key's newest value, and one
//! without a value is the key's end. So entries that come twice change nothing, and the row of an
//! erased key goes.

use event_log::RawRecord;
use uuid::Uuid;

use crate::changes::Changes;
use crate::fold::Impossible;
use crate::store::literal::Literal;
use crate::store::statement::{OnConflict, Upsert, Written};

/// A row of `user_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) key_id: Uuid,
    pub(crate) wrapped: Vec<u8>,
}

/// Takes one entry in.
///
/// # Errors
/// When its key is not an id.
pub(crate) fn fold(entry: &RawRecord, changes: &mut Changes) -> Result<(), Impossible> {
    let key_id = std::str::from_utf8(&entry.key)
        .ok()
        .and_then(|key| Uuid::try_parse(key).ok())
        .ok_or(Impossible("the entry's key is not the id of a key"))?;
    let wrapped = (!entry.payload.is_empty()).then(|| entry.payload.to_vec());
    changes.keys.insert(key_id, wrapped);
    Ok(())
}

impl Written for KeyRow {
    const UPSERT: Upsert = Upsert {
        table: "user_keys",
        columns: &[
            ("key_id", OnConflict::Keep),
            ("wrapped", OnConflict::Replace),
        ],
        key: &["key_id"],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        vec![
            Literal::Bytes(self.key_id.as_bytes()),
            Literal::Bytes(&self.wrapped),
        ]
    }
}
