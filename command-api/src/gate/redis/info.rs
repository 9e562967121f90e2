//! What Redis says of itself with `INFO`.

use redis::{Value, cmd};

use super::connection::Connection;
use super::decode::unreadable;
use crate::gate::GateError;

/// Some sections of `INFO`.
#[derive(Debug)]
pub(super) struct Info(String);

impl Info {
    pub(super) async fn read(connection: &Connection, section: &str) -> Result<Self, GateError> {
        Self::parse(connection.call(cmd("INFO").arg(section)).await?)
    }

    pub(super) fn parse(value: Value) -> Result<Self, GateError> {
        match value {
            Value::BulkString(bytes) => Ok(Self(String::from_utf8_lossy(&bytes).into_owned())),
            Value::VerbatimString { text, .. } => Ok(Self(text)),
            other => Err(unreadable(&format!("{other:?}"))),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ str| -> Option<usize> {
            let rest = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(line.len() - rest.len())
        };
        self.0
            .lines()
            .find_map(|line| value(line).map(|start| line[start..].trim()))
    }

    /// The replication id, if this is a master.
    ///
    /// # Errors
    /// [`GateError::Closed`] on a replica.
    pub(super) fn master_replid(&self) -> Result<&str, GateError> {
        match (self.get("role"), self.get("master_replid")) {
            (Some("master"), Some(replid)) => Ok(replid),
            _ => Err(GateError::Closed(
                "this Redis is a replica, not the primary".to_owned(),
            )),
        }
    }
}
