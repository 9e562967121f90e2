//! The bytes of the log, as the program reads them.
//!
//! What is read and written again is the same record, and what is no record is refused without a
//! panic. The envelope alone, which every version reads, says the same as the whole record, and so
//! does what a fold recalls of it.

use record::{Envelope, Recalled, Record};

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let Ok((envelope, body)) = Envelope::decode(bytes) else {
        assert!(Record::decode(bytes).is_err(), "it has no envelope");
        return;
    };
    let recalled = Recalled::decode(&envelope, body);
    let Ok(record) = Record::decode(bytes) else {
        return;
    };
    assert_eq!(envelope, record.envelope);
    let whole = record.body.clone();
    assert_eq!(
        recalled,
        Ok(Recalled {
            movements: whole.events.movements(),
            events: whole.events,
            key: whole.key,
            time: whole.time,
        })
    );
    let again = record.encode();
    assert_eq!(Record::decode(&again), Ok(record.clone()));
    let head = |bytes: &[u8]| {
        let at = bytes.windows(7).position(|at| at == br#""body":"#);
        at.map(|at| bytes[..at].to_vec())
    };
    assert_eq!(head(bytes), head(&again), "an envelope has one spelling");
}
