//! Snapshots of the fold in files of this node: what a recovery begins with, so that it reads the
//! rest of the log and not all of it.
//!
//! A snapshot is a fold of the valid log, never a dump of the gate, and nothing depends on it: one
//! that is missing, damaged, of another program or not of this log is passed over with a warning,
//! and the log is folded. What must stay true:
//! - A file is whole or it is not there: it is written beside under a name of its own, made
//!   durable, then renamed, and it ends with a digest of all before. So several nodes may share a
//!   directory; what one of them had begun when it died is cleared up by the next that writes.
//! - It says what made it ([`FOLD`]): another fold's is not read. **Whoever changes what a fold
//!   holds, or means, raises that number.**
//! - It is held against the log before it is used: the log's id, the partitions, and in each one
//!   the very record that was folded last. An offset that exists is not enough: a log that was
//!   restored from a backup and written on has the same offsets with other records behind them.
//! - It is not used for an epoch whose fence it may have passed, for records behind the epoch's
//!   own fence are not the epoch's.
//!
//! The sealed data of users stands in it as it stands in the log, the keys to it do not: they are
//! read from their topic when they are needed, so that what was erased stays erased.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Take, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use domain::time::Time;
use event_log::{EventLog, LogError};
use parking_lot::Mutex;
use record::{Envelope, Layout, Position};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::files::{Stored, stored};
use super::fold::{Fold, FoldError, Place, parts};
use super::recovery::RecoveryError;
use crate::settings::Settings;

mod files;

/// The version of the fold: raised with every change of what it holds or means.
const FOLD: u32 = 3;
/// What a file begins with.
const MAGIC: &[u8; 8] = b"HFSTFOLD";
const DIGEST_BYTES: u64 = 32;
const BUFFER_BYTES: usize = 1 << 20;
/// About how much of a file is read by one core at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Where snapshots are kept and when they are made.
#[derive(Debug, Clone)]
pub struct SnapshotSettings {
    /// Their directory, which nodes of one log may share; made where it is missing.
    pub directory: PathBuf,
    /// When this node makes new ones; `None`: it reads what others have made.
    pub making: Option<Making>,
}

/// When a node makes snapshots.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    /// After this many records.
    pub every_records: u64,
    /// How often it is looked whether so many came.
    pub look_every: Duration,
}

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It does not end with its own digest.
    #[error("it is damaged")]
    Damaged,
    /// It cannot be read as what it says it is.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It was made by another program, of another log, or with other settings.
    #[error("{0}")]
    Unfit(String),
    /// It is of what the log was before it was restored: nobody can use it any more.
    #[error("the log has no such record at {0}: it was restored since")]
    Restored(Position),
}

impl From<FoldError> for SnapshotError {
    fn from(error: FoldError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// What a file begins with.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    fold: u32,
    log: Uuid,
    layout: Layout,
    retention: i64,
}

/// Which log and which settings a snapshot has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Fitting {
    /// The log's id.
    pub log: Uuid,
    /// Its partitions.
    pub layout: Layout,
    /// How long keys count.
    pub retention: Duration,
}

/// Writes a fold; it is swept before. Older files than the newest two are removed.
///
/// # Errors
/// When the file cannot be written; what was there before stays.
pub fn save(directory: &Path, fitting: Fitting, fold: &Fold) -> Result<Stored, SnapshotError> {
    let folded = fold.places().values().map(|place| place.next).sum();
    let file = files::begin(directory, fitting.log)?;
    write(file.as_file(), fitting, fold)?;
    Ok(files::keep(file, directory, fitting.log, folded)?)
}

fn write(file: &File, fitting: Fitting, fold: &Fold) -> Result<(), SnapshotError> {
    let hashing = Hashing {
        inner: file,
        digest: Sha256::new(),
    };
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, hashing);
    let header = Header {
        fold: FOLD,
        log: fitting.log,
        layout: fitting.layout,
        retention: fold.retention(),
    };
    out.write_all(MAGIC)?;
    encode(&mut out, &header)?;
    let mut chunk = Vec::with_capacity(2 * CHUNK_BYTES);
    for part in parts(fold) {
        encode(&mut chunk, &part)?;
        if chunk.len() >= CHUNK_BYTES {
            write_chunk(&mut out, &chunk)?;
            chunk.clear();
        }
    }
    write_chunk(&mut out, &chunk)?;
    let Hashing { mut inner, digest } = out
        .into_inner()
        .map_err(|error| SnapshotError::File(error.into_error()))?;
    inner.write_all(&digest.finalize())?;
    inner.sync_all()?;
    Ok(())
}

/// Some parts, after their length in bytes (u32, little-endian).
fn write_chunk(out: &mut impl Write, chunk: &[u8]) -> io::Result<()> {
    let length = u32::try_from(chunk.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(chunk)
}

/// Reads a snapshot, with so many threads.
///
/// # Errors
/// Why it cannot be used.
pub fn load(path: &Path, fitting: Fitting, threads: usize) -> Result<Fold, SnapshotError> {
    let file = File::open(path)?;
    let body = file.metadata()?.len().checked_sub(DIGEST_BYTES);
    let body = body.ok_or(SnapshotError::Damaged)?;
    let hashing = Hashing {
        inner: file.take(body),
        digest: Sha256::new(),
    };
    let mut input = BufReader::with_capacity(BUFFER_BYTES, hashing);
    begins_fitting(&mut input, fitting)?;
    let folds = match threads {
        0 | 1 => vec![restored_here(&mut input, fitting.retention)?],
        _ => restored_beside(&mut input, fitting.retention, threads)?,
    };
    let Hashing { inner, digest } = input.into_inner();
    let mut stated = [0; DIGEST_BYTES as usize];
    inner.into_inner().read_exact(&mut stated)?;
    if digest.finalize()[..] != stated {
        return Err(SnapshotError::Damaged);
    }
    let mut whole: Option<Fold> = None;
    for fold in folds {
        let fold = fold?;
        match &mut whole {
            None => whole = Some(fold),
            Some(whole) => whole.merge(fold),
        }
    }
    whole.ok_or(SnapshotError::Damaged)
}

/// What is read of a file, but for its digest.
type Body = BufReader<Hashing<Take<File>>>;

/// The fold of what was read, or why there is none. A file that is damaged says so first.
type Restored = Result<Fold, SnapshotError>;

/// The fold of the rest of a file, on this thread.
fn restored_here(input: &mut Body, retention: Duration) -> Result<Restored, SnapshotError> {
    let mut outcome = Ok(Fold::new(retention));
    read_chunks(input, |chunk| restore(&mut outcome, &chunk))?;
    Ok(outcome)
}

/// Folds of the rest of a file, a share of it each.
fn restored_beside(
    input: &mut Body,
    retention: Duration,
    threads: usize,
) -> Result<Vec<Restored>, SnapshotError> {
    let (chunks, waiting) = mpsc::sync_channel(2 * threads);
    let waiting = Mutex::new(waiting);
    let (read, folds) = thread::scope(|scope| {
        let lane = |_| scope.spawn(|| restored(&waiting, retention));
        let lanes: Vec<_> = (0..threads).map(lane).collect();
        let read = read_chunks(input, |chunk| {
            // Every lane takes chunks until there are no more.
            let _ = chunks.send(chunk);
        });
        drop(chunks);
        let folds: Vec<_> = lanes.into_iter().map(|lane| lane.join()).collect();
        (read, folds)
    });
    read?;
    let stopped = |_| SnapshotError::Unreadable("its reader stopped".to_owned());
    let folds = folds.into_iter().map(|fold| fold.map_err(stopped)?);
    Ok(folds.collect())
}

/// Hands over the rest of a file, chunk by chunk.
fn read_chunks(input: &mut Body, mut take: impl FnMut(Vec<u8>)) -> Result<(), SnapshotError> {
    loop {
        let left = input.get_ref().inner.limit() + input.buffer().len() as u64;
        if left == 0 {
            return Ok(());
        }
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if u64::from(length) > left {
            return Err(SnapshotError::Damaged);
        }
        let mut chunk = vec![0; length as usize];
        input.read_exact(&mut chunk)?;
        take(chunk);
    }
}

/// Takes in the parts of a chunk. After an error, nothing more.
fn restore(restored: &mut Restored, mut chunk: &[u8]) {
    while let (Ok(fold), false) = (&mut *restored, chunk.is_empty()) {
        let taken = decode(&mut chunk).and_then(|part| Ok(fold.restore(part)?));
        if let Err(why) = taken {
            *restored = Err(why);
        }
    }
}

/// A fold of the chunks that this lane gets. After an error it takes the rest and lets it go, so
/// that nobody waits for it.
fn restored(waiting: &Mutex<mpsc::Receiver<Vec<u8>>>, retention: Duration) -> Restored {
    let mut outcome = Ok(Fold::new(retention));
    loop {
        let Ok(chunk) = waiting.lock().recv() else {
            return outcome;
        };
        restore(&mut outcome, &chunk);
    }
}

/// How many records each snapshot covers that looks fit to be used, as far as its beginning tells;
/// newest first.
pub(crate) fn covered(directory: &Path, fitting: Fitting) -> Vec<u64> {
    let looks_fit = |file: &Stored| {
        File::open(&file.path).is_ok_and(|file| begins_fitting(&mut &file, fitting).is_ok())
    };
    let mut found = stored(directory, fitting.log).unwrap_or_default();
    found.retain(looks_fit);
    found.iter().filter_map(Stored::until).collect()
}

/// Reads the beginning of a snapshot, which says what it is of.
fn begins_fitting(input: &mut impl Read, fitting: Fitting) -> Result<(), SnapshotError> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(SnapshotError::Unreadable("it is no snapshot".to_owned()));
    }
    fits(&decode(input)?, fitting)
}

fn fits(header: &Header, fitting: Fitting) -> Result<(), SnapshotError> {
    let unfit = |why: &str| Err(SnapshotError::Unfit(why.to_owned()));
    if header.fold != FOLD {
        return unfit("it was made by another version of the fold");
    }
    if header.log != fitting.log || header.layout != fitting.layout {
        return unfit("it is of another log");
    }
    if !Fold::retention_covers(header.retention, fitting.retention) {
        return unfit("keys are remembered longer now than when it was made");
    }
    Ok(())
}

/// The newest snapshot that can be used for `epoch`, as a fold to go on with; a fold of nothing
/// where there is none.
///
/// # Errors
/// When the log does not answer.
pub(crate) async fn newest(
    log: &Arc<dyn EventLog>,
    settings: &Settings,
    now: Time,
    log_id: Option<Uuid>,
    epoch: Option<u64>,
) -> Result<Fold, RecoveryError> {
    let mut nothing = Fold::new(settings.key_retention);
    nothing.is_folded_at(now);
    let (Some(kept), Some(log_id)) = (&settings.snapshots, log_id) else {
        return Ok(nothing);
    };
    let fitting = Fitting {
        log: log_id,
        layout: log.layout(),
        retention: settings.key_retention,
    };
    let used = |how: &'static str| {
        metrics::counter!(crate::metrics::SNAPSHOTS_USED, "outcome" => how).increment(1);
    };
    let found = stored(&kept.directory, log_id).unwrap_or_else(|error| {
        tracing::warn!(%error, "the directory of snapshots cannot be read");
        vec![]
    });
    for file in found {
        let threads = settings.work.threads(settings.fold_tasks);
        let (path, bytes, age) = (file.path.clone(), file.bytes, file.age().as_secs());
        let loaded = settings
            .work
            .run(move || load(&file.path, fitting, threads));
        let stopped = |error| LogError::Unavailable(format!("a read stopped: {error}"));
        let judged = match loaded.await.map_err(stopped)? {
            Ok(fold) => stands(&**log, &fold, epoch).await?.map(|()| fold),
            Err(why) => Err(why),
        };
        match judged {
            Ok(mut fold) => {
                fold.is_folded_at(now);
                let path = path.display();
                tracing::info!(%path, bytes, age_seconds = age, "the fold begins with a snapshot");
                used("used");
                return Ok(fold);
            }
            Err(why) => {
                // It would be taken for the newest, and every recovery would read it in vain.
                let is_over = matches!(why, SnapshotError::Restored(_));
                if is_over && kept.making.is_some() {
                    let _ = std::fs::remove_file(&path);
                }
                let path = path.display();
                tracing::warn!(%path, %why, "a snapshot is not used");
                used("passed-over");
            }
        }
    }
    used("none");
    Ok(nothing)
}

/// Holds a fold against the log that it is said to be of; `epoch` is the one that it is wanted
/// for.
///
/// # Errors
/// [`SnapshotError::Unfit`] or [`SnapshotError::Restored`] inside where it is not of this log;
/// outside, that the log does not answer.
pub(crate) async fn stands(
    log: &dyn EventLog,
    fold: &Fold,
    epoch: Option<u64>,
) -> Result<Result<(), SnapshotError>, LogError> {
    let unfit = |why: String| Ok(Err(SnapshotError::Unfit(why)));
    let passed = |place: &Place| epoch.is_some_and(|epoch| place.fence.0 >= epoch);
    if let Some((partition, _)) = fold.places().iter().find(|(_, place)| passed(place)) {
        return unfit(format!(
            "in {partition} it may have passed this epoch's fence"
        ));
    }
    // All at once: one after the other, a log that is far away is waited for as often as it has
    // partitions, and everybody waits for that.
    let held = fold.places().iter().filter_map(|(partition, place)| {
        let (offset, id) = place.last?;
        let position = Position {
            partition: *partition,
            offset,
        };
        Some(async move {
            let beyond = place.next > log.extent(position.partition).await?.end;
            let is_there = !beyond && is_at(log, position, id).await?;
            Ok::<_, LogError>((position, is_there))
        })
    });
    let held = futures::future::try_join_all(held).await?;
    match held.into_iter().find(|(_, is_there)| !is_there) {
        None => Ok(Ok(())),
        Some((position, _)) => Ok(Err(SnapshotError::Restored(position))),
    }
}

async fn is_at(
    log: &dyn EventLog,
    position: Position,
    id: record::RecordId,
) -> Result<bool, LogError> {
    match log.read_at(position).await {
        Ok(raw) => {
            let decoded = Envelope::decode(&raw.payload);
            Ok(decoded.is_ok_and(|(envelope, _)| envelope.id == id))
        }
        Err(LogError::Shortened { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn encode<T: Serialize>(out: &mut impl Write, value: &T) -> Result<(), SnapshotError> {
    rmp_serde::encode::write(out, value)
        .map_err(|error| SnapshotError::File(io::Error::other(error)))
}

fn decode<T: for<'de> Deserialize<'de>>(input: &mut impl Read) -> Result<T, SnapshotError> {
    rmp_serde::from_read(input).map_err(|error| SnapshotError::Unreadable(error.to_string()))
}

/// Digests what passes.
struct Hashing<I> {
    inner: I,
    digest: Sha256,
}

impl<I: Read> Read for Hashing<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}

impl<I: Write> Write for Hashing<I> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.digest.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
