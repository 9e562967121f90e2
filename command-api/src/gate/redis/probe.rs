//! Whether a server can be a gate at all, asked once at start.

use redis::{Value, cmd};

use super::connection::Connection;
use super::info::Info;
use crate::gate::GateError;

const MAJOR_VERSION_MIN: u32 = 7;
/// Redis before 7 does not know flags; and the continuity check reads `INFO` inside a script.
const SCRIPT: &str = "#!lua flags=no-writes\nreturn redis.call('INFO', 'replication')";

/// # Errors
/// [`GateError::Misconfigured`] with what to mend, [`GateError::Closed`] on a replica, or that
/// the server does not answer.
pub(super) async fn probe(connection: &Connection) -> Result<(), GateError> {
    check_kind(&Info::read(connection, "everything").await?)?;
    check_eviction(&Info::read(connection, "memory").await?)?;
    check_scripts(connection).await?;
    warn_of_saves(connection).await;
    Info::read(connection, "replication")
        .await?
        .master_replid()
        .map(|_| ())
}

fn check_kind(info: &Info) -> Result<(), GateError> {
    if info.get("dragonfly_version").is_some() {
        return refuse("Dragonfly keeps scripts over a restart; use Redis 7 or later, or Valkey.");
    }
    if info.get("mvcc_depth").is_some() {
        return refuse("KeyDB keeps scripts over a restart; use Redis 7 or later, or Valkey.");
    }
    if info
        .get("redis_mode")
        .is_some_and(|mode| mode != "standalone")
    {
        return refuse("The gate needs one Redis server; Cluster and Sentinel ports are not one.");
    }
    let version = info.get("redis_version").unwrap_or("unknown");
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < MAJOR_VERSION_MIN) {
        return refuse(&format!(
            "The gate needs Redis 7 or later, or Valkey; this is {version}."
        ));
    }
    Ok(())
}

/// From `INFO`, because `CONFIG` is often forbidden.
fn check_eviction(info: &Info) -> Result<(), GateError> {
    match info.get("maxmemory_policy") {
        Some("noeviction") => Ok(()),
        policy => refuse(&format!(
            "Redis may throw away stock: set maxmemory-policy to noeviction, not {}.",
            policy.unwrap_or("unknown"),
        )),
    }
}

async fn check_scripts(connection: &Connection) -> Result<(), GateError> {
    let digest = connection.call(cmd("SCRIPT").arg("LOAD").arg(SCRIPT)).await;
    let run = match digest {
        Ok(Value::BulkString(digest)) => connection
            .call(cmd("EVALSHA").arg(digest).arg(0))
            .await
            .and_then(Info::parse),
        Ok(other) => Err(GateError::Damaged(format!("{other:?}"))),
        Err(error) => Err(error),
    };
    match run {
        Ok(info) if info.get("master_replid").is_some() => Ok(()),
        Ok(_) => refuse("INFO inside a script does not name a replication id in this Redis."),
        Err(GateError::Damaged(why) | GateError::Closed(why)) => refuse(&format!(
            "This Redis does not run the gate's scripts: {why}."
        )),
        Err(error) => Err(error),
    }
}

/// A server that cannot save refuses writes, settling too, so that it could not drain.
async fn warn_of_saves(connection: &Connection) {
    let saves = match connection.call(cmd("CONFIG").arg("GET").arg("save")).await {
        Ok(Value::Array(parts)) => {
            !matches!(parts.get(1), Some(Value::BulkString(s)) if s.is_empty())
        }
        _ => false,
    };
    let persistence = Info::read(connection, "persistence").await;
    let appends = persistence.is_ok_and(|info| info.get("aof_enabled") == Some("1"));
    if saves || appends {
        tracing::warn!(
            "Redis saves to disk, which the gate does not need; when it cannot, it refuses writes: \
             set save \"\" and appendonly no"
        );
    }
}

fn refuse(sentence: &str) -> Result<(), GateError> {
    Err(GateError::Misconfigured(sentence.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(info: &str) -> Result<(), GateError> {
        check_kind(&Info::parse(Value::BulkString(info.into())).unwrap())
    }

    #[test]
    fn servers_that_keep_scripts_or_share_keys_out_are_refused() {
        let standalone = "redis_mode:standalone\r\nredis_version:7.2.4\r\n";
        assert_eq!(kind(standalone), Ok(()));
        for (other, word) in [
            (
                format!("{standalone}dragonfly_version:df-v1.2\r\n"),
                "Dragonfly",
            ),
            (format!("{standalone}mvcc_depth:0\r\n"), "KeyDB"),
            (
                "redis_mode:cluster\r\nredis_version:7.2.4\r\n".to_owned(),
                "Cluster",
            ),
            (
                "redis_mode:standalone\r\nredis_version:6.2.7\r\n".to_owned(),
                "6.2.7",
            ),
        ] {
            let error = kind(&other).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_server_that_evicts_is_refused() {
        let info = Info::parse(Value::BulkString("maxmemory_policy:allkeys-lru\r\n".into()));
        let error = check_eviction(&info.unwrap()).unwrap_err();
        assert!(error.to_string().contains("noeviction"), "{error}");
    }
}
