//! Recovery, steps 3 and 4, on the gate's side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use record::Partition;
use redis::{Cmd, Pipeline, Value, cmd};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::Connection;
use super::decode::{texts, unreadable};
use super::encode::{json, status};
use super::info::Info;
use super::{Shared, keys, scripts};
use crate::gate::{Current, GateError, Rebuild, Rebuilt};

/// How long dropped data may take to be freed. Redis frees some millions of fields a second.
const FREEING_MAX: Duration = Duration::from_secs(120);
const FREEING_POLL: Duration = Duration::from_millis(20);
/// How much goes in one `HSET`, and in one pipeline.
const FIELDS_PER_COMMAND: usize = 500;
const COMMANDS_PER_PIPELINE: usize = 64;
/// Calls that may be on their way while the next pieces are packed: so many that neither Redis nor
/// this program waits for the other, and so few that next to no pieces are held twice.
const CALLS_UNDER_WAY_MAX: usize = 4;

/// Deletes lower epochs and writes the marker of this one.
pub(super) async fn begin(shared: Arc<Shared>, epoch: u64) -> Result<RedisRebuild, GateError> {
    let connection = &shared.commands;
    Info::read(connection, "replication")
        .await?
        .master_replid()?;
    check_not_behind(&shared, epoch).await?;
    delete_lower(&shared, epoch).await?;
    until_freed(connection).await?;
    failpoint::reached!("recovery.deleted");
    let info = Info::read(connection, "replication").await?;
    let master_replid = info.master_replid()?.to_owned();
    let key = |name| shared.namespace.key(epoch, name);
    connection
        .call(cmd("SET").arg(key(keys::MARKER)).arg(&master_replid))
        .await?;
    let first = hset(
        key(keys::META),
        &[(keys::GENERATION.to_owned(), "0".to_owned())],
    );
    connection.call(&first).await?;
    Ok(RedisRebuild {
        shared,
        epoch,
        master_replid,
        under_way: JoinSet::new(),
    })
}

/// A late rebuild would only be refused when it is published, after it took the room of one.
async fn check_not_behind(shared: &Shared, epoch: u64) -> Result<(), GateError> {
    match current_number(shared).await? {
        Some(current) if current >= epoch => {
            Err(GateError::Closed(format!("epoch {current} is current")))
        }
        _ => Ok(()),
    }
}

/// The pointer's epoch. What cannot be read names none; publishing mends it.
async fn current_number(shared: &Shared) -> Result<Option<u64>, GateError> {
    let mut pointer = cmd("HGET");
    pointer
        .arg(shared.namespace.pointer())
        .arg(keys::POINTER_EPOCH);
    match shared.commands.call(&pointer).await {
        Ok(Value::BulkString(digits)) => Ok(String::from_utf8_lossy(&digits).parse().ok()),
        Ok(_) | Err(GateError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every deletion is one `UNLINK` that names an epoch's marker together with all of its data:
/// were the marker deleted first, another recovery could write its own in between and be
/// published with a hole.
pub(super) async fn delete_lower(shared: &Shared, epoch: u64) -> Result<(), GateError> {
    for lower in epochs(shared).await?.range(..epoch) {
        let mut unlink = cmd("UNLINK");
        for name in keys::OF_EPOCH {
            unlink.arg(shared.namespace.key(*lower, name));
        }
        shared.commands.call(&unlink).await?;
    }
    Ok(())
}

/// The epochs that have any data here.
async fn epochs(shared: &Shared) -> Result<BTreeSet<u64>, GateError> {
    let mut found = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(&cursor)
            .arg("MATCH")
            .arg(shared.namespace.pattern())
            .arg("COUNT")
            .arg(1000);
        let Value::Array(mut page) = shared.commands.call(&scan).await? else {
            return Err(unreadable("SCAN"));
        };
        let names = texts(page.pop().unwrap_or(Value::Nil))?;
        found.extend(
            names
                .iter()
                .filter_map(|key| shared.namespace.epoch_of(key)),
        );
        cursor = match page.pop() {
            Some(Value::BulkString(next)) => String::from_utf8_lossy(&next).into_owned(),
            _ => return Err(unreadable("SCAN")),
        };
        if cursor == "0" {
            return Ok(found);
        }
    }
}

/// Old data and new never need room together.
async fn until_freed(connection: &Connection) -> Result<(), GateError> {
    let start = Instant::now();
    loop {
        let info = Info::read(connection, "memory").await?;
        if matches!(info.get("lazyfree_pending_objects"), None | Some("0")) {
            return Ok(());
        }
        if start.elapsed() > FREEING_MAX {
            return Err(GateError::NotRun(
                "Redis is still freeing the epochs before".to_owned(),
            ));
        }
        tokio::time::sleep(FREEING_POLL).await;
    }
}

/// An epoch whose marker is written and whose data is being written.
pub(super) struct RedisRebuild {
    shared: Arc<Shared>,
    epoch: u64,
    master_replid: String,
    under_way: JoinSet<Result<(), GateError>>,
}

impl RedisRebuild {
    /// Sends pieces, as long as no other recovery has deleted this one's marker: all that it wrote
    /// from then on would stand beside the other's data and take its room.
    fn send(&mut self, pipelines: Vec<Pipeline>) {
        let (shared, epoch) = (Arc::clone(&self.shared), self.epoch);
        self.under_way.spawn(async move {
            let marker = shared.namespace.key(epoch, keys::MARKER);
            let exists = shared.commands.call(cmd("EXISTS").arg(marker)).await?;
            if exists != Value::Int(1) {
                let why = format!("the marker of epoch {epoch} is gone: another one was begun");
                return Err(GateError::Closed(why));
            }
            for pipeline in pipelines.iter().filter(|pipeline| !pipeline.is_empty()) {
                shared.commands.call_all(pipeline).await?;
            }
            Ok(())
        });
    }

    /// Takes back what was written, for this epoch is never tried again. What cannot be taken back
    /// is deleted by the next recovery.
    async fn take_back(&mut self) {
        self.under_way.abort_all();
        while self.under_way.join_next().await.is_some() {}
        let mut unlink = cmd("UNLINK");
        for name in keys::OF_EPOCH {
            unlink.arg(self.shared.namespace.key(self.epoch, name));
        }
        if let Err(error) = self.shared.commands.call(&unlink).await {
            tracing::warn!(epoch = self.epoch, %error, "a part of a rebuild is left behind");
        }
    }

    /// Waits for replies until no more than so many calls are on their way.
    async fn under_way_at_most(&mut self, calls: usize) -> Result<(), GateError> {
        while self.under_way.len() > calls
            && let Some(ended) = self.under_way.join_next().await
        {
            ended.map_err(|error| GateError::Unanswered(error.to_string()))??;
        }
        Ok(())
    }
}

#[async_trait]
impl Rebuild for RedisRebuild {
    async fn write(&mut self, pieces: Vec<Rebuilt>) -> Result<(), GateError> {
        let mut by_hash = BTreeMap::<&str, Vec<(String, String)>>::new();
        for piece in pieces {
            let (hash, field, value) = packed(piece)?;
            by_hash.entry(hash).or_default().push((field, value));
        }
        let mut pipelines = vec![Pipeline::new()];
        for (hash, fields) in by_hash {
            let key = self.shared.namespace.key(self.epoch, hash);
            for chunk in fields.chunks(FIELDS_PER_COMMAND) {
                if pipelines
                    .last()
                    .is_some_and(|full| full.len() >= COMMANDS_PER_PIPELINE)
                {
                    pipelines.push(Pipeline::new());
                }
                let last = pipelines.last_mut().expect("there is one from the start");
                last.add_command(hset(key.clone(), chunk));
            }
        }
        let written = self.under_way_at_most(CALLS_UNDER_WAY_MAX - 1).await;
        match written {
            Ok(()) => self.send(pipelines),
            Err(_) => self.take_back().await,
        }
        written
    }

    /// The compare-and-set of the pointer is a script of the epoch itself, loaded as the others
    /// are, and not `WATCH`: it checks in the same step that this is still the master, and the
    /// marker, of step 3.
    async fn publish(
        mut self: Box<Self>,
        fences: BTreeMap<Partition, u64>,
    ) -> Result<Current, GateError> {
        if let Err(error) = self.under_way_at_most(0).await {
            self.take_back().await;
            return Err(error);
        }
        let epoch = scripts::Epoch {
            namespace: &self.shared.namespace,
            number: self.epoch,
            master_replid: &self.master_replid,
            entries_per_generation: self.shared.entries_per_generation,
        };
        let mut digests = BTreeMap::new();
        for (name, text) in epoch.scripts() {
            digests.insert(name.to_owned(), self.load(&text).await?);
        }
        let publish = self.load(&epoch.publish()).await?;
        let offsets: BTreeMap<String, u64> = fences
            .iter()
            .map(|(partition, offset)| (partition.to_string(), *offset))
            .collect();
        let mut call = cmd("EVALSHA");
        call.arg(publish)
            .arg(0)
            .arg(json(&digests)?)
            .arg(json(&offsets)?);
        match self.shared.commands.call(&call).await {
            Ok(_) => {}
            // Only a refusal says that nobody is in it; without an answer it may be open. So it may
            // where a call that ran twice is refused because of itself.
            Err(error @ GateError::Closed(_)) => {
                if current_number(&self.shared).await? != Some(self.epoch) {
                    self.take_back().await;
                }
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        Ok(Current {
            epoch: self.epoch,
            scripts: digests,
            fences,
            generation: 0,
        })
    }
}

impl RedisRebuild {
    async fn load(&self, text: &str) -> Result<String, GateError> {
        match self
            .shared
            .commands
            .call(cmd("SCRIPT").arg("LOAD").arg(text))
            .await?
        {
            Value::BulkString(digest) => Ok(String::from_utf8_lossy(&digest).into_owned()),
            other => Err(unreadable(&format!("{other:?}"))),
        }
    }
}

fn hset(key: String, fields: &[(String, String)]) -> Cmd {
    let mut command = cmd("HSET");
    command.arg(key);
    for (field, value) in fields {
        command.arg(field).arg(value);
    }
    command
}

/// A piece as the scripts read it: its hash, field and value (see [`keys`]).
fn packed(piece: Rebuilt) -> Result<(&'static str, String, String), GateError> {
    Ok(match piece {
        Rebuilt::Item(sku, value) => {
            let (status, terms) = (status(&value.terms), json(&value.terms)?);
            let (available, supplied) = (value.available, value.supplied);
            let version = value.terms_version;
            let packed = format!("{available}|{supplied}|{status}|{version}|{terms}");
            (keys::ITEMS, sku.to_string(), packed)
        }
        Rebuilt::Aggregate {
            key,
            version,
            snapshot,
        } => (
            keys::AGGREGATES,
            key.to_string(),
            format!("{version}|{snapshot}"),
        ),
        Rebuilt::Claim(claim) => (keys::CLAIMS, claim.name, claim.owner.to_string()),
        Rebuilt::Key {
            entry,
            record,
            aggregate_id,
            position,
        } => {
            let packed = format!("{}|{record}||{aggregate_id}|{position}", entry.fingerprint);
            (keys::KEYS, entry.key, packed)
        }
    })
}
