//! The topic of claims.
//!
//! What is read and written again is the same entry; the audit reads every entry that the program
//! reads.

use audit::{Audit, Check, Evidence};
use record::epochs::EpochEntry;

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let entry = EpochEntry::decode(bytes);
    let mut audit = Audit::new();
    audit.take_in("epochs", 0, 0, bytes);
    let report = audit.finish(&Evidence::default());
    let Ok(entry) = entry else {
        return;
    };
    assert_eq!(EpochEntry::decode(&entry.encode()), Ok(entry));
    let readable = report.of(Check::Readable).expect("it is always reported");
    assert_eq!(readable.broken, 0, "{:?}", readable.differences);
}
