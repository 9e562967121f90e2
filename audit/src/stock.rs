//! Stock: every movement of every SKU, and the promises on their sums.

use std::collections::BTreeMap;

use fnv::FnvHashMap;

use crate::body::Units;
use crate::checks::Check;
use crate::entry::Entry;
use crate::evidence::Horizon;
use crate::place::{Place, Topic};
use crate::report::Findings;

/// Stands for a SKU in this run.
pub(crate) type SkuNumber = u32;

/// Every SKU that a record names.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    numbers: FnvHashMap<Box<str>, SkuNumber>,
    items: Vec<Item>,
}

/// One SKU.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) sku: Box<str>,
    /// Where it came into the catalogue.
    pub(crate) created: Option<Place>,
    /// What records did to its availability, in order within a partition.
    movements: Vec<Movement>,
}

/// What one record did to the availability of one SKU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Movement {
    pub(crate) place: Place,
    pub(crate) epoch: u64,
    pub(crate) time: i64,
    pub(crate) quantity: i64,
}

impl Movement {
    /// In the inventory topic units are supplied, in the orders topic they are taken.
    fn is_supply(&self) -> bool {
        self.place.partition.topic == Topic::Inventory
    }
}

impl Stock {
    /// Units with their SKUs as numbers.
    pub(crate) fn numbered(&mut self, units: &[Units<'_>]) -> Vec<(SkuNumber, i64)> {
        units
            .iter()
            .map(|(sku, quantity)| (self.number(sku), *quantity))
            .collect()
    }

    fn number(&mut self, sku: &str) -> SkuNumber {
        if let Some(number) = self.numbers.get(sku) {
            return *number;
        }
        let number = self.items.len() as SkuNumber;
        self.numbers.insert(sku.into(), number);
        self.items.push(Item {
            sku: sku.into(),
            created: None,
            movements: vec![],
        });
        number
    }

    fn item(&mut self, sku: &str) -> &mut Item {
        let number = self.number(sku);
        &mut self.items[number as usize]
    }

    /// An item comes into the catalogue, once.
    pub(crate) fn create(
        &mut self,
        entry: &Entry<'_>,
        sku: &str,
        place: Place,
        findings: &mut Findings,
    ) {
        findings.looked(Check::Lives);
        self.belongs(entry, sku, place, findings);
        match self.item(sku).created {
            None => self.item(sku).created = Some(place),
            Some(before) => {
                let found = format!("It was created before, at {before}.");
                findings.broken(Check::Lives, entry.name(), place, found);
            }
        }
    }

    /// An item's record speaks of no other item.
    pub(crate) fn belongs(
        &mut self,
        entry: &Entry<'_>,
        sku: &str,
        place: Place,
        findings: &mut Findings,
    ) {
        if sku != entry.aggregate {
            let found = format!("Its event is about {sku}.");
            findings.broken(Check::Lives, entry.name(), place, found);
        }
    }

    pub(crate) fn take_in(&mut self, sku: &str, movement: Movement) {
        self.item(sku).movements.push(movement);
    }

    /// How many items came into the catalogue.
    pub(crate) fn created(&self) -> usize {
        self.iter().filter(|item| item.created.is_some()).count()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    pub(crate) fn get(&self, sku: &str) -> Option<&Item> {
        let number = *self.numbers.get(sku)?;
        self.items.get(number as usize)
    }

    pub(crate) fn number_of(&self, sku: &str) -> Option<SkuNumber> {
        self.numbers.get(sku).copied()
    }

    /// Judges every SKU. `held` are the units in orders that are alive, from the orders
    /// themselves; nothing is sold yet in the life that orders have so far.
    pub(crate) fn finish(
        &self,
        held: &FnvHashMap<SkuNumber, i128>,
        horizon: &Horizon,
        findings: &mut Findings,
    ) {
        for (number, item) in self.items.iter().enumerate() {
            findings.looked(Check::Stock);
            findings.looked(Check::Balance);
            let about = || format!("sku {}", item.sku);
            let first = item.movements.first().map(|movement| movement.place);
            if item.created.is_none() {
                let found = "Records name it, but none creates it.";
                findings.broken(Check::Lives, about(), first, found);
            }
            if let Some((since, found)) = item.oversold(horizon) {
                findings.broken(Check::Stock, about(), since, found);
            }
            if let Some((since, supplied)) = item.supplied_below_zero() {
                let found = format!("Its supply stands at {supplied} there.");
                findings.broken(Check::Stock, about(), since, found);
            }
            let held = held.get(&(number as SkuNumber)).copied().unwrap_or(0);
            let (available, supplied) = (item.available(), item.supplied());
            if supplied != available + held {
                let found = format!(
                    "{supplied} supplied, but {available} available, {held} held and 0 sold."
                );
                findings.broken(Check::Balance, about(), None, found);
            }
        }
    }
}

impl Item {
    /// Units that can be ordered, now.
    pub(crate) fn available(&self) -> i128 {
        self.sum(|_| true)
    }

    /// Units supplied, now.
    pub(crate) fn supplied(&self) -> i128 {
        self.supplied_where(|_| true)
    }

    /// Units supplied by the records that stand in these places.
    pub(crate) fn supplied_where(&self, seen: impl Fn(Place) -> bool) -> i128 {
        self.sum(|movement| movement.is_supply() && seen(movement.place))
    }

    fn sum(&self, wanted: impl Fn(&Movement) -> bool) -> i128 {
        let wanted = self.movements.iter().filter(|movement| wanted(movement));
        wanted.map(|movement| i128::from(movement.quantity)).sum()
    }

    /// The first epoch at whose end more was taken than supplied, and the record since which it
    /// was, by (epoch, time).
    fn oversold(&self, horizon: &Horizon) -> Option<(Option<Place>, String)> {
        let counts = |movement: &&Movement| movement.quantity > 0 || horizon.has(movement.place);
        let counted = self.movements.iter().filter(counts);
        let mut of_epoch = BTreeMap::<u64, i128>::new();
        for movement in counted.clone() {
            *of_epoch.entry(movement.epoch).or_default() += i128::from(movement.quantity);
        }
        let mut available = 0;
        let broken = of_epoch.into_iter().find_map(|(epoch, change)| {
            available += change;
            (available < 0).then_some((epoch, -available))
        });
        let (epoch, missing) = broken?;
        let mut in_time: Vec<_> = counted.collect();
        in_time.sort_by_key(|movement| (movement.epoch, movement.time));
        let mut running = 0;
        let since = in_time.iter().find(|movement| {
            running += i128::from(movement.quantity);
            running < 0
        });
        let found = format!(
            "At the end of epoch {epoch}, {missing} more were taken than supplied; now {} are \
             available.",
            self.available()
        );
        Some((since.map(|movement| movement.place), found))
    }

    /// The first record after which less than nothing was supplied. A SKU's supply stands in one
    /// partition, in order.
    fn supplied_below_zero(&self) -> Option<(Place, i128)> {
        let mut supplied = 0;
        self.movements
            .iter()
            .filter(|movement| movement.is_supply())
            .find_map(|movement| {
                supplied += i128::from(movement.quantity);
                (supplied < 0).then_some((movement.place, supplied))
            })
    }
}
