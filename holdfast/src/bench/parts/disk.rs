//! One fsync: what a log on this disk waits for at least.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::bench::figures::Figure;

/// How often.
const TIMES: u64 = 300;
/// What is written before each: a page of a write-ahead file.
const PAGE: [u8; 4096] = [7; 4096];

/// Writes a page and syncs it, one after the other, in this directory.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn alone(directory: &Path) -> Result<Figure> {
    let mut file = File::create(directory.join("fsync"))?;
    let began = Instant::now();
    for _ in 0..TIMES {
        file.write_all(&PAGE)?;
        file.sync_data()?;
    }
    Ok(Figure::new(
        "fsync of 4 KiB on this disk",
        TIMES,
        began.elapsed(),
    ))
}
