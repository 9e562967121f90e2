//! Keys of a run that must not touch a shop's gate: a benchmark, say.

use redis::cmd;

use super::{RedisGate, rebuild};
use crate::gate::GateError;

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
