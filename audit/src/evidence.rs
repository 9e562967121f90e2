//! What stands beside the log and is compared with it: plain data, whoever read it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::digest::{EntryDigest, OrderDigest};
use crate::place::{Partition, Place};

/// Something to compare the log with, or why there is nothing; the report tells.
pub type Given<T> = Result<T, &'static str>;

/// What the log is compared with, and how.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What clients were told was done.
    pub acknowledged: Given<Vec<Acknowledged>>,
    /// A dump of the read models, all of one moment.
    pub read_models: Given<ReadModelRows>,
    /// A dump of the gate's figures, taken while nothing was decided or pending.
    pub gate: Given<Vec<GateItem>>,
    /// Things as the gate has them, asked for one by one: all of them while nothing was decided or
    /// pending, or only those that differed before.
    pub gate_things: Given<GateThings>,
    /// For a log that grows while it is read: the next offset of every partition, all taken
    /// before the ends up to which it is then read. See [`Horizon`].
    pub horizon: Horizon,
    /// Users who are known although no record registers them: of a log that was made up.
    pub strangers: Vec<Uuid>,
    /// How long successes are remembered under their key: the setting of the servers.
    pub key_retention: Duration,
    /// How many differences of each check are told.
    pub differences_max: usize,
}

impl Default for Evidence {
    /// Nothing beside the log; keys are remembered for 7 days; 10 differences are told.
    fn default() -> Self {
        Self {
            acknowledged: Err("no acknowledged commands were given"),
            read_models: Err("no read models were given"),
            gate: Err("no gate was given"),
            gate_things: Err("no gate was given"),
            horizon: Horizon::default(),
            strangers: vec![],
            key_retention: Duration::from_secs(7 * 24 * 3600),
            differences_max: 10,
        }
    }
}

/// How far the log had been when the reading of its ends began.
///
/// Ends are asked partition by partition, so an end that is asked later may have a record that
/// rests on one behind an end that was asked earlier: units taken without the supply that they
/// were taken from. Therefore the ends are asked twice: what takes units counts up to the first
/// round, what gives them up to the second. Every taking of the first round rests on givings that
/// stood in the log before it was decided, hence before the second round; a promise that holds is
/// never called broken. In the same way whatever else rests on another partition (a record on its
/// epoch's fences, a fence on its claim, an order on its user and its prices) is judged where it
/// stands before the first round's end, with all that is before the second's.
#[derive(Debug, Clone, Default)]
pub struct Horizon(pub Vec<(Partition, u64)>);

impl Horizon {
    /// Whether an entry was there in the first round.
    pub(crate) fn has(&self, place: Place) -> bool {
        place.offset < self.end(place.partition)
    }

    /// The end of a partition in the first round. One that is not named was read to its end while
    /// nobody wrote.
    pub(crate) fn end(&self, partition: Partition) -> u64 {
        let end = self.0.iter().find(|(of, _)| *of == partition);
        end.map_or(u64::MAX, |(_, end)| *end)
    }
}

/// Something that a client was told was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// The record of this id.
    Record(Uuid),
    /// The order of this id was placed.
    Order(Uuid),
    /// The record or the order of this id, whichever it names.
    Id(Uuid),
    /// The record that stands here.
    Place(Place),
}

/// The read models' rows and how much of the log they claim to have seen.
#[derive(Debug, Clone, Default)]
pub struct ReadModelRows {
    /// The id of the log that they say they are of, where they do: that of its first claim.
    pub log: Option<Uuid>,
    /// One per partition; a partition without one was not read.
    pub checkpoints: Vec<Checkpoint>,
    /// Every order.
    pub orders: Vec<OrderRow>,
    /// Every item, stubs included.
    pub items: Vec<ItemRow>,
    /// What the catalogue says of every item, where it was read.
    pub catalogue: Option<Vec<CatalogueRow>>,
    /// Every user, where they were read.
    pub users: Option<Vec<UserRow>>,
    /// The stock ledger, where it was read.
    pub ledger: Option<Ledger>,
}

/// How far a partition is in the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The partition.
    pub partition: Partition,
    /// Everything before this offset is in the rows.
    pub next_offset: u64,
    /// The highest fence before it.
    pub highest_fence: u64,
}

/// An order's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user: Uuid,
    /// Its version.
    pub version: u64,
    /// `placed` or `cancelled`.
    pub status: String,
    /// Its total in minor units.
    pub total: i64,
    /// When it was placed: microseconds since 1970.
    pub placed_at: i64,
    /// What its lines, its total and its history say; `None` where that cannot be read.
    pub digest: Option<OrderDigest>,
}

/// What an item's row says that the catalogue says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueRow {
    /// Its SKU.
    pub sku: String,
    /// Its version; 0 where none of its own records was seen.
    pub version: u64,
    /// Its name.
    pub name: String,
    /// The price of a unit in minor units.
    pub price: i64,
    /// The currency of that.
    pub currency: String,
    /// Its category.
    pub category: Option<String>,
    /// `active` or `discontinued`.
    pub status: String,
    /// When it was created: microseconds since 1970.
    pub created_at: i64,
    /// Whether a search for its name or its SKU finds it.
    pub is_found: bool,
}

/// An item's row: its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Its SKU.
    pub sku: String,
    /// Units supplied.
    pub supplied: i64,
    /// Units held by orders.
    pub held: i64,
    /// Units sold.
    pub sold: i64,
}

/// A user's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Its id.
    pub id: Uuid,
    /// The keyed hash of its address.
    pub email_hash: String,
    /// Names the key that its data is sealed with; nil where that cannot be read.
    pub key: Uuid,
    /// What it may do.
    pub role: String,
    /// When it registered: microseconds since 1970.
    pub created_at: i64,
    /// Its version.
    pub version: u64,
}

/// The stock ledger, summed up by SKU: there are more entries than anything else.
#[derive(Debug, Clone, Default)]
pub struct Ledger(pub(crate) BTreeMap<String, LedgerSum>);

/// An entry of the stock ledger.
#[derive(Debug, Clone, Copy, Hash)]
pub struct LedgerEntry<'a> {
    /// The record that moved the units; `None` where that cannot be read.
    pub place: Option<Place>,
    /// When: microseconds since 1970.
    pub at: i64,
    /// Signed units.
    pub quantity: i64,
    /// Why, in a word.
    pub reason: &'a str,
    /// The order that took or gave them, if it was one.
    pub order: Option<Uuid>,
    /// Who moved them, in a word.
    pub actor: &'a str,
    /// The user who did, if it was one.
    pub actor_id: Option<Uuid>,
    /// What they call it.
    pub reference: Option<&'a str>,
}

/// The entries of one SKU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LedgerSum {
    pub(crate) entries: u64,
    pub(crate) quantity: i128,
    pub(crate) digest: EntryDigest,
}

impl Ledger {
    /// Takes in an entry of a SKU, in any order.
    pub fn add(&mut self, sku: &str, entry: LedgerEntry<'_>) {
        let (quantity, digest) = (entry.quantity, EntryDigest::new(&entry));
        match self.0.get_mut(sku) {
            Some(sum) => sum.add(quantity, digest),
            None => {
                let mut sum = LedgerSum::default();
                sum.add(quantity, digest);
                self.0.insert(sku.to_owned(), sum);
            }
        }
    }
}

impl LedgerSum {
    pub(crate) fn add(&mut self, quantity: i64, digest: EntryDigest) {
        self.entries += 1;
        self.quantity += i128::from(quantity);
        self.digest.add(digest);
    }
}

/// Things as the gate has them, asked for by what the log knows; `None` where the gate does not
/// know one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateThings {
    /// The epoch that is open.
    pub epoch: Option<u64>,
    /// By SKU.
    pub items: Vec<(String, Option<GateValue>)>,
    /// By id.
    pub orders: Vec<(Uuid, Option<GateOrder>)>,
    /// By id.
    pub users: Vec<(Uuid, Option<GateUser>)>,
    /// By the hash of an address: the user that owns it.
    pub claims: Vec<(String, Option<Uuid>)>,
    /// What the gate has of these cannot be read.
    pub unreadable: Vec<Thing>,
    /// Records that stayed pending for as long as it was looked.
    pub stuck: Vec<StuckRecord>,
    /// How many more were found to be as they are in the log.
    pub agreed: u64,
}

/// A record that was decided and that nobody takes on: what it took is held by nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckRecord {
    /// Its id.
    pub id: Uuid,
    /// What it is about; `None` where it cannot be read.
    pub about: Option<Thing>,
}

impl GateThings {
    /// How many things were asked for.
    pub(crate) fn len(&self) -> u64 {
        let asked = self.items.len() + self.orders.len() + self.users.len() + self.claims.len();
        (asked + self.unreadable.len() + self.stuck.len()) as u64 + self.agreed
    }
}

/// Something that both the gate and the log know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thing {
    /// An item.
    Sku(String),
    /// An order.
    Order(Uuid),
    /// A user.
    User(Uuid),
    /// The claim on the address with this hash.
    Address(String),
    /// A record that is pending.
    Record(Uuid),
    /// The epoch that is open.
    Epoch(u64),
    /// The list of what is pending.
    Pending,
}

/// A thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateDifference {
    /// Which one.
    pub thing: Thing,
    /// The newest record that the log's side comes from.
    pub since: Option<Place>,
    /// How many movements of units the log's side comes from: two that took and gave back the same
    /// leave the figures alone.
    pub movements: usize,
    /// What was found, in a sentence.
    pub found: String,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sku(sku) => write!(f, "sku {sku}"),
            Self::Order(id) => write!(f, "order {id}"),
            Self::User(id) => write!(f, "user {id}"),
            Self::Address(hash) => write!(f, "address {hash}"),
            Self::Record(id) => write!(f, "record {id}"),
            Self::Epoch(epoch) => write!(f, "epoch {epoch}"),
            Self::Pending => f.write_str("what is pending"),
        }
    }
}

/// An order in the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateOrder {
    /// Its version.
    pub version: u64,
    /// Whose it is.
    pub user: Uuid,
    /// `placed` or `cancelled`.
    pub status: String,
    /// Its total in minor units.
    pub total: i64,
    /// What its lines and its total say; `None` where that cannot be read.
    pub digest: Option<OrderDigest>,
}

/// A user in the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateUser {
    /// Its version.
    pub version: u64,
    /// What it may do.
    pub role: String,
}

/// What a SKU is to the gate: its figures and its settled terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateValue {
    /// Units that can be ordered.
    pub available: i64,
    /// Units supplied.
    pub supplied: i64,
    /// The version of the item from which the terms are.
    pub terms_version: u64,
    /// Its name.
    pub name: String,
    /// The price of a unit in minor units.
    pub price: i64,
    /// The currency of that.
    pub currency: String,
    /// `active` or `discontinued`.
    pub status: String,
}

/// A SKU's figures in the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateItem {
    /// The SKU.
    pub sku: String,
    /// Units that can be ordered.
    pub available: i64,
    /// Units supplied.
    pub supplied: i64,
}
