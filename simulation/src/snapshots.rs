//! Snapshots of the gate: where the nodes of a run keep them, and what befalls the files.
//!
//! The nodes share a directory, in memory where the machine has such a place, for every file is
//! made durable. What is in it follows from the seed; its name does not, and nothing tells it.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use command_api::epoch::snapshot::{Making, SnapshotSettings};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::plan::{Fault, Plan};
use crate::world::World;

/// A file system in memory, on most machines.
const IN_MEMORY: &str = "/dev/shm";

/// Where a file says which fold made it.
const FOLD_AT: usize = 9;
const DIGEST_BYTES: usize = 32;

/// A directory for snapshots. Whoever has it removes it: tasks may outlive their run.
///
/// # Errors
/// When none can be made.
pub fn directory() -> Result<TempDir> {
    let directory = match Path::new(IN_MEMORY) {
        place if place.is_dir() => TempDir::new_in(place),
        _ => TempDir::new(),
    };
    directory.context("no directory for snapshots")
}

/// What the nodes of a run keep.
#[derive(Debug)]
pub struct Snapshots {
    directory: PathBuf,
    making: Making,
}

impl Snapshots {
    /// Those of a plan, if it has any, in this directory.
    pub fn new(plan: &Plan, directory: &TempDir) -> Option<Self> {
        let (every_records, seconds) = plan.snapshots?;
        let making = Making {
            every_records,
            look_every: Duration::from_secs(seconds),
        };
        Some(Self {
            directory: directory.path().to_owned(),
            making,
        })
    }

    /// What a node is told.
    pub fn settings(&self) -> SnapshotSettings {
        SnapshotSettings {
            directory: self.directory.clone(),
            making: Some(self.making),
        }
    }

    /// Does harm to a file, if there is one. Whether there was.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn harm(&self, world: &World, fault: Fault) -> Result<bool> {
        let files = self.files()?;
        let Some(newest) = files.last() else {
            return Ok(false);
        };
        let file = &files[world.pick(files.len())];
        let bytes = fs::metadata(file)?.len();
        match fault {
            Fault::SnapshotDeleted => fs::remove_file(file)?,
            Fault::SnapshotTruncated => {
                let length = world.roll(0..=bytes.saturating_sub(1));
                fs::OpenOptions::new()
                    .write(true)
                    .open(file)?
                    .set_len(length)?;
            }
            Fault::SnapshotDamaged => {
                let place = world.roll(0..=bytes.saturating_sub(1));
                let mut file = fs::OpenOptions::new().read(true).write(true).open(file)?;
                let mut byte = [0];
                file.seek(SeekFrom::Start(place))?;
                file.read_exact(&mut byte)?;
                file.seek(SeekFrom::Start(place))?;
                file.write_all(&[byte[0] ^ 1])?;
            }
            Fault::SnapshotOfOtherFold => {
                let mut bytes = fs::read(file)?;
                // The number of the fold is the first one behind the magic number and the mark of a
                // header of four; the digest ends the file.
                let body = bytes.len().saturating_sub(DIGEST_BYTES);
                if body <= FOLD_AT {
                    return Ok(false);
                }
                bytes[FOLD_AT] = bytes[FOLD_AT].wrapping_add(1);
                let digest = Sha256::digest(&bytes[..body]);
                bytes[body..].copy_from_slice(&digest);
                fs::write(file, bytes)?;
            }
            // One of another moment under the newest one's name.
            _ if files.len() > 1 => drop(fs::copy(&files[0], newest)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The files, oldest first.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            files.push(entry?.path());
        }
        files.retain(|path| path.extension().is_some_and(|it| it == "fold"));
        files.sort();
        Ok(files)
    }
}
