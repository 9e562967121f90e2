//! The data directory of an embedded system: its lock, its log, its read models.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use event_log::EventLog;
use event_log::sqlite::{SqliteLog, SqliteSettings};

use crate::keys::create_directory;

/// A data directory that this process alone may write to.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// Held until the process ends, however it ends: the kernel lets go of the lock.
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory if need be, and locks it.
    ///
    /// # Errors
    /// One sentence where another server uses it, or it cannot be written.
    pub(crate) fn lock(path: &Path) -> Result<Self> {
        create_directory(path)?;
        let file = path.join("holdfast.lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            .with_context(|| {
                format!(
                    "{} cannot be written; run the server as the directory's owner",
                    file.display()
                )
            })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(std::fs::TryLockError::WouldBlock) => bail!(
                "{} is in use by another server; stop it, or choose another directory with --data",
                path.display()
            ),
            Err(std::fs::TryLockError::Error(error)) => {
                bail!("{} cannot be locked: {error}", file.display())
            }
        }
    }

    /// Opens the log in it.
    ///
    /// # Errors
    /// One sentence where it cannot be used.
    pub(crate) fn open_log(&self) -> Result<Arc<dyn EventLog>> {
        Ok(Arc::new(SqliteLog::open(
            &self.path,
            SqliteSettings::default(),
        )?))
    }

    /// The file of the read models.
    pub(crate) fn read_models(&self) -> PathBuf {
        read_models_file(&self.path)
    }

    /// The socket at which the server takes the operator's commands.
    pub(crate) fn control_socket(&self) -> PathBuf {
        control_socket(&self.path)
    }
}

/// The file of the read models in a data directory.
pub(crate) fn read_models_file(data: &Path) -> PathBuf {
    data.join("read-models.sqlite")
}

/// The operator's socket in a data directory.
pub(crate) fn control_socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}
