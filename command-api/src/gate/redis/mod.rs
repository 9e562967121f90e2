//! The gate of many nodes: one Redis (7 or later) or Valkey server.
//!
//! Redis' one thread is the scarce part, so a call carries many commands, a script reads and
//! writes whole lists of fields at once, and what is written is packed. Nothing of Redis'
//! persistence or replication is needed: an empty server is a rebuild away.
//!
//! What must stay true:
//! - every data call is an `EVALSHA` of a script of its own epoch (see [`scripts`]);
//! - nothing is sent twice from here, and no error claims more than is known (see
//!   [`connection`]).
//!
//! A call that is too large for one script is split. When a later part fails although an earlier
//! one ran, the whole is *unanswered*: sent again, it finds the first part's results.

mod connection;
mod decode;
mod encode;
mod info;
mod keys;
mod probe;
mod rebuild;
mod scratch;
mod scripts;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use record::{Partition, Position, RecordId};
use redis::{Value, cmd};

use self::connection::Connection;
use self::keys::Namespace;
pub use self::scratch::SCRATCH_PREFIX;
use super::{
    Current, Decide, Gate, GateError, Intent, Look, Looked, Pending, Rebuild, Reply, Settle,
    Settled, Verdict,
};

/// The most commands, values and bytes of one script call. Longer calls keep the one thread from
/// others; Lua's `unpack` ends near 8 000 values.
const COMMANDS_MAX: usize = 128;
const RECORDS_MAX: usize = 256;
const VALUES_MAX: usize = 4_000;
const BYTES_MAX: usize = 256 * 1024;

/// How a gate in Redis is reached.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://user:password@host:port/database`, the password percent-encoded. Never shown.
    pub url: String,
    /// What all of the gate's keys begin with: letters, digits, `.`, `_`, `-`.
    pub namespace: String,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may take; after that the call may have run.
    pub response_timeout: Duration,
    /// Entries of a generation of refusals; see [`super::ENTRIES_PER_GENERATION`].
    pub entries_per_generation: u64,
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A gate in Redis. It connects when it is first used, and again whenever it has to.
pub struct RedisGate {
    shared: Arc<Shared>,
}

struct Shared {
    namespace: Namespace,
    entries_per_generation: u64,
    commands: Connection,
    /// Settling has a connection of its own, so that it never waits behind a queue of decisions.
    settles: Connection,
}

impl RedisGate {
    /// A gate with these settings; connects later.
    ///
    /// # Errors
    /// [`GateError::Misconfigured`] when a setting cannot be used.
    pub fn new(settings: &RedisSettings) -> Result<Self, GateError> {
        let namespace = Namespace::parse(&settings.namespace).ok_or_else(|| {
            GateError::Misconfigured(
                "The Redis namespace has letters, digits, '.', '_' and '-' only.".to_owned(),
            )
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                namespace,
                entries_per_generation: settings.entries_per_generation,
                commands: Connection::new(settings)?,
                settles: Connection::new(settings)?,
            }),
        })
    }
}

impl fmt::Debug for RedisGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisGate")
            .field("namespace", &self.shared.namespace)
            .finish_non_exhaustive()
    }
}

/// Calls a script of the epoch. Raw `EVALSHA`: anything that loads the text again on `NOSCRIPT`
/// would bring a script to a server whose data is not the epoch's.
async fn run(
    connection: &Connection,
    current: &Current,
    script: &str,
    arguments: &[&[u8]],
) -> Result<Value, GateError> {
    let digest = current
        .scripts
        .get(script)
        .ok_or_else(|| GateError::Damaged(format!("the pointer does not name `{script}`")))?;
    let mut call = cmd("EVALSHA");
    call.arg(digest).arg(0);
    for argument in arguments {
        call.arg(*argument);
    }
    connection.call(&call).await
}

#[async_trait]
impl Gate for RedisGate {
    async fn probe(&self) -> Result<(), GateError> {
        probe::probe(&self.shared.commands).await
    }

    async fn current(&self) -> Result<Option<Current>, GateError> {
        let mut pointer = cmd("HMGET");
        pointer.arg(self.shared.namespace.pointer());
        pointer
            .arg(keys::POINTER_EPOCH)
            .arg(keys::POINTER_SCRIPTS)
            .arg(keys::POINTER_FENCES);
        let answer = self.shared.commands.call(&pointer).await?;
        if matches!(&answer, Value::Array(parts) if parts.iter().all(|part| *part == Value::Nil)) {
            return Ok(None);
        }
        let fields = decode::texts(answer)?;
        let mut current = read_pointer(&fields)
            .ok_or_else(|| GateError::Damaged("the current pointer cannot be read".to_owned()))?;
        // An epoch without its data has no generation; its calls will find it closed.
        let meta = self.shared.namespace.key(current.epoch, keys::META);
        let generation = cmd("HGET").arg(meta).arg(keys::GENERATION).to_owned();
        if let Value::BulkString(digits) = self.shared.commands.call(&generation).await? {
            let digits = String::from_utf8_lossy(&digits).into_owned();
            current.generation = digits.parse().map_err(|_| decode::unreadable(&digits))?;
        }
        Ok(Some(current))
    }

    async fn load(&self, current: &Current, looks: &[Look]) -> Result<Reply<Looked>, GateError> {
        in_parts(
            parts(looks, COMMANDS_MAX, |_| Weight {
                values: 2,
                bytes: 64,
            }),
            |part| async {
                let looks = &looks[part];
                let packed = encode::looks(looks)?;
                let answer = run(&self.shared.commands, current, scripts::LOAD, &[&packed]).await?;
                decode::reply(answer, looks.len(), decode::looked)
            },
        )
        .await
    }

    async fn decide(
        &self,
        current: &Current,
        commands: &[Decide],
    ) -> Result<Reply<Verdict>, GateError> {
        in_parts(
            parts(commands, COMMANDS_MAX, weight_of_command),
            |part| async {
                let commands = &commands[part];
                let packed = encode::commands(commands)?;
                let answer =
                    run(&self.shared.commands, current, scripts::DECIDE, &[&packed]).await?;
                decode::reply(answer, commands.len(), decode::verdict)
            },
        )
        .await
    }

    async fn settle(
        &self,
        current: &Current,
        records: &[Settle],
        tails: &[Position],
    ) -> Result<Reply<Settled>, GateError> {
        let tails = encode::positions(tails)?;
        in_parts(
            parts(records, RECORDS_MAX, weight_of_record),
            |part| async {
                let records = &records[part];
                let packed = encode::records(records)?;
                let arguments = [packed.as_slice(), &tails];
                let answer =
                    run(&self.shared.settles, current, scripts::SETTLE, &arguments).await?;
                decode::reply(answer, records.len(), decode::settled)
            },
        )
        .await
    }

    async fn pending(
        &self,
        current: &Current,
        of: Option<&[RecordId]>,
    ) -> Result<Vec<Pending>, GateError> {
        match of {
            Some(ids) => pending_of(&self.shared.commands, current, ids).await,
            None => all_pending(&self.shared.commands, current).await,
        }
    }

    async fn tail_starts(&self, current: &Current) -> Result<BTreeMap<Partition, u64>, GateError> {
        let answer = run(&self.shared.commands, current, scripts::TAIL_STARTS, &[]).await?;
        decode::offsets(answer)
    }

    async fn begin_rebuild(&self, epoch: u64) -> Result<Box<dyn Rebuild>, GateError> {
        Ok(Box::new(
            rebuild::begin(Arc::clone(&self.shared), epoch).await?,
        ))
    }
}

fn read_pointer(fields: &[String]) -> Option<Current> {
    let [epoch, scripts, fences] = fields else {
        return None;
    };
    let fences: BTreeMap<String, u64> = serde_json::from_str(fences).ok()?;
    let fences = fences
        .iter()
        .map(|(name, offset)| Some((decode::partition(name)?, *offset)))
        .collect::<Option<_>>()?;
    Some(Current {
        epoch: epoch.parse().ok()?,
        scripts: serde_json::from_str(scripts).ok()?,
        fences,
        generation: 0,
    })
}

async fn pending_of(
    connection: &Connection,
    current: &Current,
    ids: &[RecordId],
) -> Result<Vec<Pending>, GateError> {
    let mut found = vec![];
    for ids in ids.chunks(RECORDS_MAX) {
        let packed = encode::record_ids(ids)?;
        let answer = run(connection, current, scripts::PENDING, &[b"", &packed]).await?;
        let parts = decode::blobs(answer)?;
        found.extend(decode::pending(parts.get(1..).unwrap_or_default())?);
    }
    Ok(found)
}

/// Page by page; a record may be named twice, and is given once.
async fn all_pending(
    connection: &Connection,
    current: &Current,
) -> Result<Vec<Pending>, GateError> {
    let (mut found, mut seen) = (vec![], HashSet::new());
    let mut cursor = b"0".to_vec();
    loop {
        let answer = run(connection, current, scripts::PENDING, &[&cursor, b""]).await?;
        let mut parts = decode::blobs(answer)?;
        if parts.is_empty() {
            return Err(decode::unreadable("a listing without a cursor"));
        }
        cursor = parts.remove(0);
        let page = decode::pending(&parts)?;
        found.extend(
            page.into_iter()
                .filter(|pending| seen.insert(pending.record)),
        );
        if cursor == b"0" {
            return Ok(found);
        }
    }
}

/// What one question adds to a call.
#[derive(Clone, Copy)]
struct Weight {
    values: usize,
    bytes: usize,
}

fn weight_of_command(command: &Decide) -> Weight {
    let (values, bytes) = match &command.intent {
        Intent::Refuse(_) => (0, 0),
        Intent::Append(append) => (
            append.takes.len() + append.claims.len(),
            append.payload.len() + append.snapshot.as_ref().map_or(0, String::len),
        ),
    };
    Weight {
        values: 2 * (values + command.terms.len()),
        bytes,
    }
}

fn weight_of_record(record: &Settle) -> Weight {
    Weight {
        values: 2 * (record.gives.len() + record.claims_given_up.len()),
        bytes: 0,
    }
}

/// Cuts questions into calls, in order. A single question that is too large is a call of its own.
fn parts<Q>(questions: &[Q], count_max: usize, weight: impl Fn(&Q) -> Weight) -> Vec<Range<usize>> {
    let mut parts = vec![];
    let (mut start, mut values, mut bytes) = (0, 0, 0);
    for (at, question) in questions.iter().enumerate() {
        let more = weight(question);
        let full = at - start == count_max
            || values + more.values > VALUES_MAX
            || bytes + more.bytes > BYTES_MAX;
        if full && at > start {
            parts.push(start..at);
            (start, values, bytes) = (at, 0, 0);
        }
        values += more.values;
        bytes += more.bytes;
    }
    // Also without any question: a call is made for what else it carries.
    parts.push(start..questions.len());
    parts
}

async fn in_parts<T, F: Future<Output = Result<Reply<T>, GateError>>>(
    parts: Vec<Range<usize>>,
    call: impl Fn(Range<usize>) -> F,
) -> Result<Reply<T>, GateError> {
    let mut whole: Option<Reply<T>> = None;
    for part in parts {
        match (call(part).await, &mut whole) {
            (Ok(reply), None) => whole = Some(reply),
            (Ok(reply), Some(whole)) => {
                whole.answers.extend(reply.answers);
                whole.generation = reply.generation;
            }
            (Err(error), None) => return Err(error),
            (
                Err(
                    GateError::NotRun(why) | GateError::Closed(why) | GateError::Misconfigured(why),
                ),
                Some(_),
            ) => {
                return Err(GateError::Unanswered(format!(
                    "only a part of the call ran: {why}"
                )));
            }
            (Err(error), Some(_)) => return Err(error),
        }
    }
    whole.ok_or_else(|| GateError::NotRun("there was nothing to call".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_cut_where_a_script_would_be_too_large() {
        let weight = |bytes: &usize| Weight {
            values: 1,
            bytes: *bytes,
        };
        assert_eq!(parts(&[], 2, weight).len(), 1);
        assert_eq!(parts(&[1, 1, 1], 2, weight), [0..2, 2..3]);
        assert_eq!(
            parts(&[BYTES_MAX, 1, BYTES_MAX + 1, 1], 9, weight),
            [0..1, 1..2, 2..3, 3..4]
        );
    }
}
