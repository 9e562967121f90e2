//! All partitions together: what a question about one order or user is put to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fnv::FnvHashSet;
use uuid::Uuid;

use crate::checks::Check;
use crate::evidence::Horizon;
use crate::orders::Order;
use crate::part::Part;
use crate::place::{Offset, Partition, Place};
use crate::report::Findings;
use crate::stock::Warehouse;
use crate::users::User;

/// All partitions of a log.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    pub(crate) parts: &'a BTreeMap<Partition, Part>,
    pub(crate) stock: Warehouse<'a>,
}

impl<'a> Whole<'a> {
    pub(crate) fn new(parts: &'a BTreeMap<Partition, Part>) -> Self {
        let shelves = parts
            .iter()
            .map(|(partition, part)| (*partition, &part.stock));
        let stock = Warehouse::new(shelves.collect());
        Self { parts, stock }
    }

    /// The id of the log.
    pub(crate) fn log_id(&self) -> Option<Uuid> {
        let mut parts = self.parts.values();
        parts.find_map(|part| part.epochs.log_id())
    }

    /// Whether an epoch's number comes from a claim of this log.
    pub(crate) fn is_claimed(&self, epoch: u64) -> bool {
        let mut parts = self.parts.values();
        parts.any(|part| part.epochs.is_claimed(epoch))
    }

    /// An order that was placed, and where.
    pub(crate) fn order(&self, id: Uuid) -> Option<(Partition, &'a Order)> {
        let mut parts = self.parts.iter();
        parts.find_map(|(partition, part)| Some((*partition, part.orders.get(id)?)))
    }

    /// Every order that was placed.
    pub(crate) fn orders(&self) -> impl Iterator<Item = (Partition, Uuid, &'a Order)> {
        self.parts.iter().flat_map(|(partition, part)| {
            let orders = part.orders.iter();
            orders.map(|(id, order)| (*partition, id, order))
        })
    }

    /// A user that registered, and where.
    pub(crate) fn user(&self, id: Uuid) -> Option<(Partition, &'a User)> {
        let mut parts = self.parts.iter();
        parts.find_map(|(partition, part)| Some((*partition, part.users.get(id)?)))
    }

    /// Every user that registered.
    pub(crate) fn users(&self) -> impl Iterator<Item = (Partition, Uuid, &'a User)> {
        self.parts.iter().flat_map(|(partition, part)| {
            let users = part.users.iter();
            users.map(|(id, user)| (*partition, id, user))
        })
    }

    /// Whose each address is, and since which record: its first owner's, for the format has no
    /// event that gives one up.
    pub(crate) fn owners(&self) -> BTreeMap<&'a str, (Uuid, Place)> {
        self.all_owners(|_, _| ())
    }

    /// As [`Whole::owners`]; tells of every address that has another owner: both.
    fn all_owners(
        &self,
        mut another: impl FnMut((Uuid, Place), (&str, Uuid, Place)),
    ) -> BTreeMap<&'a str, (Uuid, Place)> {
        let mut owners = BTreeMap::new();
        for (partition, id, user) in self.users() {
            let Some(registered) = user.registered else {
                continue;
            };
            let (hash, place) = (&*user.email_hash, registered.of(partition));
            match owners.entry(hash) {
                Entry::Vacant(free) => drop(free.insert((id, place))),
                Entry::Occupied(first) => another(*first.get(), (hash, id, place)),
            }
        }
        owners
    }

    /// What partitions know of each other's people and prices: one user registers with an address,
    /// orders are of users who registered, and each unit costs what the catalogue said.
    ///
    /// What an order rests on stood in the log before it was decided; it may stand behind the end
    /// up to which its partition was read, where the order itself came later.
    pub(crate) fn check(&self, horizon: &Horizon, strangers: &[Uuid], findings: &mut Findings) {
        self.all_owners(|(first, at), (hash, id, place)| {
            let (about, found) = (
                format!("address {hash}"),
                format!("User {id} registers with it, but it is user {first}'s since {at}."),
            );
            findings.broken(Check::Lives, about, place, found);
        });
        let users = self.users().map(|(_, id, _)| id);
        let users: FnvHashSet<u128> = users
            .chain(strangers.iter().copied())
            .map(|id| id.as_u128())
            .collect();
        for (partition, part) in self.parts {
            let end = horizon.end(*partition);
            let seen = |at: &Offset| at.get() < end;
            for (id, order) in part.orders.iter() {
                let placed = order.placed.filter(seen);
                if let Some(placed) = placed
                    && !users.contains(&order.user.as_u128())
                {
                    let found = format!("It is of user {}, who never registered.", order.user);
                    let about = format!("order {id}");
                    findings.broken(Check::Lives, about, placed.of(*partition), found);
                }
            }
            let mut prices: Vec<_> = part.orders.prices().filter(|(.., at)| seen(at)).collect();
            prices.sort_by_key(|(.., at)| *at);
            for (number, price, at) in prices {
                findings.looked(Check::Amounts);
                let Some(number) = self.stock.here(*partition, number) else {
                    continue;
                };
                let (sku, place) = (self.stock.sku(number), at.of(*partition));
                if self.stock.created(number).is_some() && !self.stock.ever_cost(number, price) {
                    let found = format!("An order has it for {price}, which it never cost.");
                    findings.broken(Check::Amounts, format!("sku {sku}"), place, found);
                }
            }
        }
    }

    /// Units in the orders that `alive` chooses, by SKU number.
    pub(crate) fn held_where(&self, alive: impl Fn(Partition, &Order) -> bool) -> Vec<i128> {
        let mut held = vec![0; self.stock.skus().count()];
        for (partition, part) in self.parts {
            let alive = part
                .orders
                .iter()
                .filter(|(_, order)| alive(*partition, order));
            for (number, quantity) in alive.flat_map(|(_, order)| part.orders.lines(order)) {
                if let Some(number) = self.stock.here(*partition, *number) {
                    held[number as usize] += i128::from(*quantity);
                }
            }
        }
        held
    }
}
