//! What a client can ask for: one file per aggregate, each a bridge from a request to the pure
//! domain and from the record to the answer.

use std::sync::Arc;

use domain::money::Currency;
use personal_data::Secrets;
use record::Position;

use crate::commit::{Committer, Undecided};

pub mod import;
pub mod inventory;
pub mod orders;
pub mod passwords;
pub mod sessions;
pub mod users;

/// The commands of a node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Commands {
    committer: Arc<Committer>,
    personal: Arc<users::Personal>,
}

/// What a command led to.
#[derive(Debug, Clone)]
pub struct Outcome<T> {
    /// The answer.
    pub value: T,
    /// Whether it answers an earlier attempt of the same key.
    pub replayed: bool,
    /// Where its record stands: the consistency token.
    pub position: Position,
}

impl Commands {
    /// The commands over a committer.
    pub fn new(committer: Arc<Committer>, personal: users::Personal) -> Self {
        Self {
            committer,
            personal: Arc::new(personal),
        }
    }

    /// The secrets file.
    pub fn secrets(&self) -> &Arc<Secrets> {
        &self.personal.secrets
    }

    /// The shop's one currency.
    pub fn currency(&self) -> Currency {
        self.committer.settings.currency
    }

    /// The committer below.
    pub fn committer(&self) -> &Arc<Committer> {
        &self.committer
    }
}

/// The snapshot of an aggregate as JSON.
fn snapshot<S: serde::Serialize>(state: &S) -> String {
    serde_json::to_string(state).expect("a snapshot has only text keys and serialisable values")
}

/// Reads a snapshot that this program or an older one wrote in this epoch.
///
/// # Errors
/// [`Undecided::Damaged`]: a refusal would be remembered, and be a lie about what is there.
fn read_snapshot<S: serde::de::DeserializeOwned + Default>(
    loaded: &crate::commit::Loaded,
) -> Result<S, Undecided> {
    let Some(aggregate) = &loaded.aggregate else {
        return Ok(S::default());
    };
    serde_json::from_str(&aggregate.snapshot).map_err(|error| {
        let id = &aggregate.id;
        Undecided::Damaged(format!(
            "the gate's snapshot of {id} cannot be read: {error}"
        ))
    })
}
