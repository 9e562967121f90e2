//! All partitions together: what a question about one order or user is put to.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::orders::Order;
use crate::part::Part;
use crate::place::{Partition, Place};
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

    /// Whose each address is, and since which record. The format has no event that gives one up.
    pub(crate) fn owners(&self) -> BTreeMap<&'a str, (Uuid, Place)> {
        let owner = |(partition, id, user): (Partition, Uuid, &'a User)| {
            Some((&*user.email_hash, (id, user.registered?.of(partition))))
        };
        self.users().filter_map(owner).collect()
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
