//! The files of snapshots: their names, and who may remove them.
//!
//! Nodes may share a directory, so whatever is found may be gone a moment later. A file is locked
//! for as long as it is written: only what nobody has locked was left by somebody who died.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;
use uuid::Uuid;

/// How many are kept: the newest, and one for the case that it cannot be used.
const GENERATIONS: usize = 2;
const SUFFIX: &str = "fold";
/// Of a file that is being written.
const UNFINISHED: &str = "new";

/// A snapshot as a file.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Where it is.
    pub path: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// When it was made.
    pub made: SystemTime,
}

impl Stored {
    /// How long ago it was made, as far as this machine's clock knows.
    pub fn age(&self) -> Duration {
        self.made.elapsed().unwrap_or_default()
    }

    /// How many records it covers, by its name.
    pub(super) fn until(&self) -> Option<u64> {
        let name = self.path.file_stem()?.to_string_lossy();
        name.rsplit('-').next()?.parse().ok()
    }

    fn of(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        Ok(Self {
            path,
            bytes: metadata.len(),
            made: metadata.modified()?,
        })
    }
}

/// A file to write a snapshot into; what others began and left is removed.
pub(super) fn begin(directory: &Path, log: Uuid) -> io::Result<NamedTempFile> {
    fs::create_dir_all(directory)?;
    clear_up(directory, log)?;
    begun(directory, log)
}

/// Gives a file that was written its name, and removes those that are too old.
pub(super) fn keep(
    file: NamedTempFile,
    directory: &Path,
    log: Uuid,
    folded: u64,
) -> io::Result<Stored> {
    let path = directory.join(format!("{log}-{folded:020}.{SUFFIX}"));
    // Once it has its name, another node may find it too old to be kept.
    let kept = Stored::of(path.clone(), &file.as_file().metadata()?)?;
    file.persist(&path).map_err(|error| error.error)?;
    // A file whose name is not durable may be gone with the power.
    File::open(directory)?.sync_all()?;
    for old in stored(directory, log)?.into_iter().skip(GENERATIONS) {
        unless_gone(fs::remove_file(old.path))?;
    }
    Ok(kept)
}

/// A new file for a snapshot. It is locked, which says that somebody is writing it; the kernel lets
/// go when that ends, however it ends. Where the file system has no locks nothing is cleared up.
fn begun(directory: &Path, log: Uuid) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new()
            .prefix(&format!("{log}-"))
            .suffix(&format!(".{UNFINISHED}"))
            .tempfile_in(directory)?;
        let cleared_up = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        // Who clears up may have come before the lock.
        if !cleared_up && file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes what somebody began to write who is not there any more.
fn clear_up(directory: &Path, log: Uuid) -> io::Result<()> {
    for path in files(directory, log, UNFINISHED)? {
        // What cannot be opened is another user's.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if file.try_lock().is_ok() {
            unless_gone(fs::remove_file(&path))?;
        }
    }
    Ok(())
}

/// Another process may clear up, too.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files of this log, newest first.
///
/// # Errors
/// When the directory cannot be read.
pub fn stored(directory: &Path, log: Uuid) -> io::Result<Vec<Stored>> {
    let mut found = vec![];
    for path in files(directory, log, SUFFIX)? {
        if let Some(metadata) = unless_gone(fs::metadata(&path))? {
            found.push(Stored::of(path, &metadata)?);
        }
    }
    found.sort_by(|a, b| b.path.cmp(&a.path));
    Ok(found)
}

/// The files of this log with this suffix; none where there is no directory.
fn files(directory: &Path, log: Uuid, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in unless_gone(fs::read_dir(directory))?.into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default();
        if extension == suffix && name.starts_with(&log.to_string()) {
            found.push(path);
        }
    }
    Ok(found)
}
