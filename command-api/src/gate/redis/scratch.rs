//! Keys of a run that must not touch a shop's gate: a benchmark, say.

use redis::{Cmd, Value, cmd};

use super::decode::unreadable;
use super::info::Info;
use super::{RedisGate, keys, rebuild};
use crate::gate::{Gate, GateError};

/// What a namespace begins with whose keys may be deleted while nobody recovers.
pub const SCRATCH_PREFIX: &str = "holdfast-scratch-";

impl RedisGate {
    /// Deletes every key of the namespace.
    ///
    /// # Errors
    /// When the namespace is not one of a run's, or Redis does not answer.
    pub async fn delete_scratch(&self) -> Result<(), GateError> {
        let namespace = &self.shared.namespace;
        if !namespace
            .pointer()
            .starts_with(&format!("{{{SCRATCH_PREFIX}"))
        {
            return Err(GateError::Misconfigured(
                "the keys of a shop's gate are never deleted as a whole".to_owned(),
            ));
        }
        rebuild::delete_lower(&self.shared, u64::MAX).await?;
        let pointer = cmd("UNLINK").arg(namespace.pointer()).to_owned();
        self.shared.commands.call(&pointer).await.map(|_| ())
    }

    /// The hashes of the current epoch: name, entries, bytes (estimated by Redis from samples).
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn sizes(&self) -> Result<Vec<(&'static str, u64, u64)>, GateError> {
        let Some(current) = self.current().await? else {
            return Ok(vec![]);
        };
        let mut sizes = vec![];
        for name in [keys::ITEMS, keys::AGGREGATES, keys::CLAIMS, keys::KEYS] {
            let key = self.shared.namespace.key(current.epoch, name);
            let entries = self.number(cmd("HLEN").arg(&key)).await?;
            let mut usage = cmd("MEMORY");
            usage.arg("USAGE").arg(&key).arg("SAMPLES").arg(2_000);
            sizes.push((name, entries, self.number(&usage).await?));
        }
        Ok(sizes)
    }

    /// What Redis has allocated.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn used_memory(&self) -> Result<u64, GateError> {
        let info = Info::read(&self.shared.commands, "memory").await?;
        let used = info.get("used_memory").and_then(|used| used.parse().ok());
        used.ok_or_else(|| unreadable("used_memory"))
    }

    async fn number(&self, command: &Cmd) -> Result<u64, GateError> {
        match self.shared.commands.call(command).await? {
            Value::Int(number) => Ok(number.unsigned_abs()),
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::RedisSettings;
    use super::*;

    #[tokio::test]
    async fn a_shops_keys_are_never_deleted_as_a_whole() {
        let settings = RedisSettings {
            url: "redis://127.0.0.1:1".to_owned(),
            namespace: "holdfast".to_owned(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            entries_per_generation: 1,
        };
        let gate = RedisGate::new(&settings).unwrap();
        let refused = gate.delete_scratch().await;
        assert!(
            matches!(refused, Err(GateError::Misconfigured(_))),
            "{refused:?}"
        );
    }
}
