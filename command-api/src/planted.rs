//! Bugs that tests of the tests plant in the commit path: each takes one rule of the protocol away,
//! and a simulation has to find the promise that breaks.
//!
//! Without the feature `planted` every question here is answered when it is compiled: "no", and
//! nothing of it is left in the program, but that `planted-oversell` leaves the stock check out of
//! whole servers. With either, nothing compiles without debug assertions, so no release build can
//! have it.

#[cfg(all(
    any(feature = "planted", feature = "planted-oversell"),
    not(debug_assertions)
))]
compile_error!("`planted` breaks promises on demand; it is for tests only");

use std::sync::Arc;

use domain::sku::Sku;
use record::{Partition, Position, Record};

use crate::commit::Committer;
use crate::epoch::OpenEpoch;
use crate::gate::Settle;
use crate::settle::settle_of;

/// A rule that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The gate does not look at what is available.
    StockCheckLeftOut,
    /// The gate does not look at whose an address is.
    ClaimsNotChecked,
    /// A 2xx is given on the delivery report.
    NoReadBack,
    /// A cancel frees its units when it is decided.
    FreedAtCancel,
    /// A reservation that stands for long is released instead of completed.
    ReleasedOnTimeOut,
    /// The node's tail looks over fences.
    FencesIgnored,
    /// A record is settled before it is read back.
    SettledBeforeReadBack,
}

impl Planted {
    /// All of them, with the names that are typed.
    pub const ALL: [(&'static str, Self); 7] = [
        ("stock-check-left-out", Self::StockCheckLeftOut),
        ("claims-not-checked", Self::ClaimsNotChecked),
        ("no-read-back", Self::NoReadBack),
        ("freed-at-cancel", Self::FreedAtCancel),
        ("released-on-time-out", Self::ReleasedOnTimeOut),
        ("fences-ignored", Self::FencesIgnored),
        ("settled-before-read-back", Self::SettledBeforeReadBack),
    ];
}

#[cfg(feature = "planted")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug for what runs on this thread.
#[cfg(feature = "planted")]
pub fn plant(bug: Planted) {
    CHOSEN.set(Some(bug));
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
pub(crate) fn is(bug: Planted) -> bool {
    CHOSEN.get() == Some(bug)
}

/// Whether this bug is planted: none is in this build, or one for good.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(bug: Planted) -> bool {
    cfg!(feature = "planted-oversell") && matches!(bug, Planted::StockCheckLeftOut)
}

/// Settles what nobody read back; gives these units back besides.
pub(crate) fn settle_unseen(
    committer: &Committer,
    epoch: &Arc<OpenEpoch>,
    record: &Record,
    given_back: Vec<(Sku, i64)>,
) {
    let nowhere = Position {
        partition: Partition::EPOCHS,
        offset: 0,
    };
    let mut settle = Settle {
        key: None,
        ..settle_of(record, nowhere)
    };
    settle.gives.extend(given_back);
    drop(committer.settles.send(epoch, settle));
}
