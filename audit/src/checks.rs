//! What is checked: each check, the promise behind it, what it says and what mends it.

use serde::Serialize;

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Every entry is a record of a known format.
    Readable,
    /// Nothing of the log is missing.
    Complete,
    /// Records stand behind the fence of their epoch, fences behind their claim.
    Fences,
    /// Versions follow one another, each from one record.
    Versions,
    /// One effect per idempotency key.
    Keys,
    /// Movements are those of the events.
    Movements,
    /// Totals are sums of prices that the catalogue said.
    Amounts,
    /// Users, items and orders live one life.
    Lives,
    /// A cancellation gives back what was held.
    Returns,
    /// Never oversold.
    Stock,
    /// Supplied is what is available, held and sold.
    Balance,
    /// What was acknowledged stands in the log.
    Acknowledged,
    /// The read models are the fold of the log.
    ReadModels,
    /// The gate is the fold of the log.
    Gate,
}

impl Check {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::Readable,
        Self::Complete,
        Self::Fences,
        Self::Versions,
        Self::Keys,
        Self::Movements,
        Self::Amounts,
        Self::Lives,
        Self::Returns,
        Self::Stock,
        Self::Balance,
        Self::Acknowledged,
        Self::ReadModels,
        Self::Gate,
    ];

    /// The name in the table and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Readable => "readable",
            Self::Complete => "complete",
            Self::Fences => "fences",
            Self::Versions => "versions",
            Self::Keys => "keys",
            Self::Movements => "movements",
            Self::Amounts => "amounts",
            Self::Lives => "lives",
            Self::Returns => "returns",
            Self::Stock => "stock",
            Self::Balance => "balance",
            Self::Acknowledged => "acknowledged",
            Self::ReadModels => "read-models",
            Self::Gate => "gate",
        }
    }

    /// What holds, in a sentence.
    pub fn says(self) -> &'static str {
        match self {
            Self::Readable => "every entry is a record of a known format",
            Self::Complete => "no offset is missing, and every epoch has all its fences",
            Self::Fences => "records stand behind their epoch's fence, fences behind its claim",
            Self::Versions => "versions follow without a gap, each from one record (S2)",
            Self::Keys => "one effect per idempotency key (S3)",
            Self::Movements => "stock movements are those of the events",
            Self::Amounts => "line = the item's price x quantity, total = sum of the lines",
            Self::Lives => "everything comes once, before what rests on it; orders have a user",
            Self::Returns => "a cancellation gives back exactly what was held (I3)",
            Self::Stock => "never oversold, at every moment that the log can tell (S1)",
            Self::Balance => "supplied = available + held + sold (I1)",
            Self::Acknowledged => "each success has exactly one valid record (I2)",
            Self::ReadModels => "rows = fold of the log at their checkpoints (I4)",
            Self::Gate => "items, orders, users, claims are the log's; none stays pending (S4)",
        }
    }

    /// What a person does about a difference.
    pub fn mend(self) -> &'static str {
        match self {
            Self::Readable => {
                "If its format is newer, use the newer program; otherwise something else wrote \
                 into the topic: restore it from a copy."
            }
            Self::Complete => {
                "Stop every server, restore the topic from a copy, and check its retention \
                 settings and who may delete records."
            }
            Self::Fences | Self::Versions => {
                "Something that is not the commit path wrote here, or the topic was replaced: \
                 stop every server, find the writer, restore the topic from a copy."
            }
            Self::Keys => {
                "Tell the client of both records; cancel the order that it did not mean, or move \
                 the stock back."
            }
            Self::Movements | Self::Amounts | Self::Lives | Self::Balance => {
                "A program that wrote this record decided wrongly: find it by the record's actor \
                 and time, and correct the effect by a new command (records are never changed)."
            }
            Self::Returns => {
                "Move the difference by a recount: POST /v1/inventory/{sku}/movements."
            }
            Self::Stock => {
                "Supply what is missing (POST /v1/inventory/{sku}/movements), or cancel orders \
                 of this SKU that cannot be fulfilled."
            }
            Self::Acknowledged => {
                "The log lost an acknowledged record: stop every server and restore the topic \
                 from a copy; until then place the order again and tell its buyer."
            }
            Self::ReadModels => "Rebuild the read models from the log: holdfast replay.",
            Self::Gate => {
                "Open a new epoch, which rebuilds the gate from the log: holdfast epoch change, or, \
                 where that fails, flush the gate's Redis."
            }
        }
    }
}
