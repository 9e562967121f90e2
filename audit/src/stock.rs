//! Stock: every movement of every SKU, and the promises on their sums.
//!
//! A [`Shelf`] is what one partition knows; [`Warehouse`] puts the shelves together.

use std::collections::BTreeMap;

use fnv::FnvHashMap;

use crate::body::{Money, Terms};
use crate::checks::Check;
use crate::digest::EntryDigest;
use crate::entry::Entry;
use crate::evidence::Horizon;
use crate::moments;
use crate::place::{Offset, Partition, Place, Topic};
use crate::report::Findings;

use crate::versions::Reached;

/// Stands for a SKU: within a partition, or in the warehouse.
pub(crate) type SkuNumber = u32;

/// The stock as one partition's records know it.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    numbers: FnvHashMap<Box<str>, SkuNumber>,
    items: Vec<Item>,
    /// What records did to availability, in order.
    movements: Vec<Movement>,
}

/// A SKU that a record of the partition names.
#[derive(Debug)]
struct Item {
    sku: Box<str>,
    /// How far the item's own records are, in its own partition.
    reached: Reached,
    /// What the catalogue said of it, each with the record since which it did.
    catalogue: Vec<(Offset, CatalogueEntry)>,
    /// Where it came into the catalogue.
    created: Option<Offset>,
    /// When it did: microseconds since 1970.
    created_at: i64,
    /// The first record that names it.
    named: Offset,
}

/// What the catalogue says of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogueEntry {
    /// The item's version after the record that says so.
    pub(crate) version: u64,
    pub(crate) name: Box<str>,
    pub(crate) price: Money,
    pub(crate) category: Option<Box<str>>,
    pub(crate) active: bool,
    /// Since when there is one: microseconds since 1970.
    pub(crate) created_at: i64,
}

/// What one record did to the availability of one SKU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Movement {
    pub(crate) sku: SkuNumber,
    pub(crate) offset: u64,
    pub(crate) epoch: u64,
    pub(crate) time: i64,
    pub(crate) quantity: i64,
    /// The entry that the stock ledger has of it.
    pub(crate) entry: EntryDigest,
}

impl Shelf {
    /// The number of a SKU that a record at this place names.
    pub(crate) fn number(&mut self, sku: &str, place: Place) -> SkuNumber {
        if let Some(number) = self.numbers.get(sku) {
            return *number;
        }
        let number = self.items.len() as SkuNumber;
        self.numbers.insert(sku.into(), number);
        self.items.push(Item {
            sku: sku.into(),
            reached: Reached::default(),
            catalogue: vec![],
            created: None,
            created_at: 0,
            named: Offset::new(place.offset),
        });
        number
    }

    /// How far an item is, to be moved on.
    pub(crate) fn reached(&mut self, sku: &str, place: Place) -> &mut Reached {
        let number = self.number(sku, place);
        &mut self.items[number as usize].reached
    }

    /// The catalogue says something else of an item from here on; it can be ordered.
    pub(crate) fn change(&mut self, record: &Entry<'_>, terms: &Terms<'_>, place: Place) {
        let sku = record.aggregate;
        let number = self.number(sku, place);
        let entry = CatalogueEntry {
            version: record.version,
            name: (*terms.name).into(),
            price: terms.price,
            category: terms.category.as_deref().map(Box::from),
            active: true,
            created_at: self.items[number as usize].created_at,
        };
        self.says(sku, entry, place);
    }

    /// No more orders of it are taken from here on.
    pub(crate) fn discontinue(&mut self, record: &Entry<'_>, place: Place) {
        let sku = record.aggregate;
        let number = self.number(sku, place);
        if let Some((_, entry)) = self.items[number as usize].catalogue.last() {
            let entry = CatalogueEntry {
                version: record.version,
                active: false,
                ..entry.clone()
            };
            self.says(sku, entry, place);
        }
    }

    fn says(&mut self, sku: &str, entry: CatalogueEntry, place: Place) {
        let number = self.number(sku, place);
        let catalogue = &mut self.items[number as usize].catalogue;
        catalogue.push((Offset::new(place.offset), entry));
    }

    /// An item comes into the catalogue, once.
    pub(crate) fn create(
        &mut self,
        entry: &Entry<'_>,
        sku: &str,
        at: i64,
        place: Place,
        findings: &mut Findings,
    ) {
        findings.looked(Check::Lives);
        belongs(entry, sku, place, findings);
        let number = self.number(sku, place);
        let item = &mut self.items[number as usize];
        match item.created {
            None => {
                item.created = Some(Offset::new(place.offset));
                item.created_at = at;
            }
            Some(before) => {
                let found = format!("It was created before, at {}.", before.of(place.partition));
                findings.broken(Check::Lives, entry.name(), place, found);
            }
        }
    }

    pub(crate) fn take_in(&mut self, movement: Movement) {
        self.movements.push(movement);
    }

    /// The SKUs of the items that came into the catalogue here.
    pub(crate) fn created(&self) -> impl Iterator<Item = &str> {
        let created = self.items.iter().filter(|item| item.created.is_some());
        created.map(|item| item.sku.as_ref())
    }

    /// The SKUs of the items that have records here.
    pub(crate) fn with_records(&self) -> impl Iterator<Item = &str> {
        let items = self.items.iter().filter(|item| item.reached.version > 0);
        items.map(|item| item.sku.as_ref())
    }
}

/// An item's record speaks of no other item.
pub(crate) fn belongs(entry: &Entry<'_>, sku: &str, place: Place, findings: &mut Findings) {
    if sku != entry.aggregate {
        let found = format!("Its event is about {sku}.");
        findings.broken(Check::Lives, entry.name(), place, found);
    }
}

/// The shelves of all partitions, put together by SKU.
#[derive(Debug)]
pub(crate) struct Warehouse<'a> {
    shelves: Vec<(Partition, &'a Shelf)>,
    numbers: BTreeMap<&'a str, SkuNumber>,
    skus: Vec<&'a str>,
    /// By shelf and its number: the number here.
    here: Vec<Vec<SkuNumber>>,
    /// Where the movements of each SKU begin in `of_sku`; one more at the end.
    starts: Vec<usize>,
    /// Shelf and index of every movement: by SKU, then by partition, then in order.
    of_sku: Vec<(u32, u32)>,
}

impl CatalogueEntry {
    /// The word of its status.
    pub(crate) fn status(&self) -> &'static str {
        match self.active {
            true => "active",
            false => "discontinued",
        }
    }
}

impl<'a> Warehouse<'a> {
    pub(crate) fn new(shelves: Vec<(Partition, &'a Shelf)>) -> Self {
        let mut numbers = BTreeMap::new();
        for item in shelves.iter().flat_map(|(_, shelf)| &shelf.items) {
            numbers.insert(&*item.sku, 0);
        }
        let skus: Vec<&str> = numbers.keys().copied().collect();
        for (number, known) in (0..).zip(numbers.values_mut()) {
            *known = number;
        }
        let here: Vec<Vec<SkuNumber>> = shelves
            .iter()
            .map(|(_, shelf)| shelf.items.iter().map(|item| numbers[&*item.sku]).collect())
            .collect();
        let mut starts = vec![0; skus.len() + 1];
        for ((_, shelf), here) in shelves.iter().zip(&here) {
            for movement in &shelf.movements {
                starts[here[movement.sku as usize] as usize + 1] += 1;
            }
        }
        for sku in 0..skus.len() {
            starts[sku + 1] += starts[sku];
        }
        let mut next = starts.clone();
        let mut of_sku = vec![(0, 0); starts[skus.len()]];
        for (number, ((_, shelf), here)) in (0..).zip(shelves.iter().zip(&here)) {
            for (index, movement) in (0..).zip(&shelf.movements) {
                let next = &mut next[here[movement.sku as usize] as usize];
                of_sku[*next] = (number, index);
                *next += 1;
            }
        }
        Self {
            shelves,
            numbers,
            skus,
            here,
            starts,
            of_sku,
        }
    }

    /// Every SKU in order, with its number.
    pub(crate) fn skus(&self) -> impl Iterator<Item = (SkuNumber, &'a str)> {
        (0..).zip(self.skus.iter().copied())
    }

    pub(crate) fn number_of(&self, sku: &str) -> Option<SkuNumber> {
        self.numbers.get(sku).copied()
    }

    /// The number here of a SKU that a partition numbers so.
    pub(crate) fn here(&self, partition: Partition, number: SkuNumber) -> Option<SkuNumber> {
        let shelf = self.shelves.iter().position(|(of, _)| *of == partition)?;
        self.here[shelf].get(number as usize).copied()
    }

    /// What every partition's records did to a SKU, in order within a partition.
    pub(crate) fn movements(&self, sku: SkuNumber) -> impl Iterator<Item = (Place, Movement)> {
        let range = self.starts[sku as usize]..self.starts[sku as usize + 1];
        self.of_sku[range].iter().map(|(shelf, index)| {
            let (partition, shelf) = self.shelves[*shelf as usize];
            let movement = shelf.movements[*index as usize];
            let offset = movement.offset;
            (Place { partition, offset }, movement)
        })
    }

    fn item(&self, sku: SkuNumber) -> impl Iterator<Item = (Partition, &'a Item)> {
        let sku = self.skus[sku as usize];
        self.shelves.iter().filter_map(move |(partition, shelf)| {
            let number = *shelf.numbers.get(sku)?;
            Some((*partition, &shelf.items[number as usize]))
        })
    }

    /// Where a SKU came into the catalogue.
    pub(crate) fn created(&self, sku: SkuNumber) -> Option<Place> {
        let mut created = self.item(sku);
        created.find_map(|(partition, item)| Some(item.created?.of(partition)))
    }

    /// What the catalogue said of an item in its partition before an offset, and how far its
    /// records are; `None` where no record before it creates the item.
    pub(crate) fn catalogue_before(
        &self,
        sku: SkuNumber,
        next_offset: impl Fn(Partition) -> u64,
    ) -> Option<(Partition, &'a CatalogueEntry, Reached)> {
        self.item(sku).find_map(|(of, item)| {
            let mut newest_first = item.catalogue.iter().rev();
            let seen = newest_first.find(|(at, _)| at.get() < next_offset(of));
            seen.map(|(_, entry)| (of, entry, item.reached))
        })
    }

    /// What the catalogue says of an item now, and since which record.
    pub(crate) fn catalogue(&self, sku: SkuNumber) -> Option<(Place, &'a CatalogueEntry)> {
        self.item(sku).find_map(|(of, item)| {
            let (at, entry) = item.catalogue.last()?;
            Some((at.of(of), entry))
        })
    }

    /// Whether the catalogue ever said that one unit costs this.
    pub(crate) fn ever_cost(&self, sku: SkuNumber, price: Money) -> bool {
        let mut said = self.item(sku).flat_map(|(_, item)| &item.catalogue);
        said.any(|(_, entry)| entry.price == price)
    }

    pub(crate) fn sku(&self, number: SkuNumber) -> &'a str {
        self.skus[number as usize]
    }

    /// Units that can be ordered, now.
    pub(crate) fn available(&self, sku: SkuNumber) -> i128 {
        sum(self.movements(sku))
    }

    /// Units supplied by the records that stand in these places: in the inventory topic units are
    /// supplied, in the orders topic they are taken.
    pub(crate) fn supplied_where(&self, sku: SkuNumber, seen: impl Fn(Place) -> bool) -> i128 {
        let supplied = self.movements(sku).filter(|(place, _)| is_supply(*place));
        sum(supplied.filter(|(place, _)| seen(*place)))
    }

    /// Units supplied, now.
    pub(crate) fn supplied(&self, sku: SkuNumber) -> i128 {
        self.supplied_where(sku, |_| true)
    }

    /// Judges every SKU. `held` are the units in orders that are alive, from the orders
    /// themselves; nothing is sold yet in the life that orders have so far.
    pub(crate) fn check(&self, held: &[i128], horizon: &Horizon, findings: &mut Findings) {
        for (number, sku) in self.skus() {
            findings.looked(Check::Stock);
            findings.looked(Check::Balance);
            let about = || format!("sku {sku}");
            // An order may name an item whose partition's end was asked before it was created.
            let named = self.item(number).map(|(of, item)| item.named.of(of));
            let named = named.filter(|place| horizon.has(*place)).min();
            if self.created(number).is_none() && named.is_some() {
                let found = "Records name it, but none creates it.";
                findings.broken(Check::Lives, about(), named, found);
            }
            if let Some((since, found)) = self.oversold(number, horizon) {
                findings.broken(Check::Stock, about(), since, found);
            } else if let Some((since, supplied)) = self.supplied_below_zero(number) {
                let found = format!("Its supply stands at {supplied} there.");
                findings.broken(Check::Stock, about(), since, found);
            }
            let held = held[number as usize];
            let (available, supplied) = (self.available(number), self.supplied(number));
            if supplied != available + held {
                let found = format!(
                    "{supplied} supplied, but {available} available, {held} held and 0 sold."
                );
                findings.broken(Check::Balance, about(), None, found);
            }
        }
    }

    /// The first epoch in which more was taken than supplied, whatever the order of its records
    /// across partitions was, and the record since which it was, if the records' times are right.
    fn oversold(&self, sku: SkuNumber, horizon: &Horizon) -> Option<(Option<Place>, String)> {
        let counts = |place: Place, quantity| quantity > 0 || horizon.has(place);
        let counted = self.movements(sku);
        let counted = counted.filter(|(place, movement)| counts(*place, movement.quantity));
        let mut epochs = BTreeMap::<u64, BTreeMap<Partition, Vec<(Place, Movement)>>>::new();
        for (place, movement) in counted {
            let partitions = epochs.entry(movement.epoch).or_default();
            let moved = partitions.entry(place.partition).or_default();
            moved.push((place, movement));
        }
        let mut available = 0;
        for (epoch, partitions) in &epochs {
            let quantities = |moved: &Vec<(Place, Movement)>| {
                let quantities = moved.iter().map(|(_, movement)| movement.quantity);
                quantities.collect::<Vec<_>>()
            };
            let chains: Vec<_> = partitions.values().map(quantities).collect();
            let end = available
                + chains
                    .iter()
                    .flatten()
                    .map(|q| i128::from(*q))
                    .sum::<i128>();
            if end < 0 {
                let now = self.available(sku);
                let missing = -end;
                let found = format!(
                    "At the end of epoch {epoch}, {missing} more were taken than supplied; now \
                     {now} are available."
                );
                return Some((since(available, partitions), found));
            }
            if !moments::can_stay_above_zero(available, &chains) {
                let found = format!(
                    "In epoch {epoch}, more were taken than supplied for a while, in whatever \
                     order its partitions were written; at its end {end} were available."
                );
                return Some((since(available, partitions), found));
            }
            available = end;
        }
        None
    }

    /// The first record after which less than nothing was supplied. A SKU's supply stands in one
    /// partition, in order.
    fn supplied_below_zero(&self, sku: SkuNumber) -> Option<(Place, i128)> {
        let mut supplied = 0;
        self.movements(sku)
            .filter(|(place, _)| is_supply(*place))
            .find_map(|(place, movement)| {
                supplied += i128::from(movement.quantity);
                (supplied < 0).then_some((place, supplied))
            })
    }
}

fn sum(movements: impl Iterator<Item = (Place, Movement)>) -> i128 {
    movements
        .map(|(_, movement)| i128::from(movement.quantity))
        .sum()
}

fn is_supply(place: Place) -> bool {
    place.partition.topic == Topic::Inventory
}

/// The first record after which less than nothing was available, if partitions were written as
/// their records' times say: always the earliest of the next ones.
fn since(
    mut available: i128,
    partitions: &BTreeMap<Partition, Vec<(Place, Movement)>>,
) -> Option<Place> {
    let mut next: Vec<_> = partitions.values().map(|moved| moved.as_slice()).collect();
    loop {
        let heads = next.iter_mut().filter(|moved| !moved.is_empty());
        let earliest = heads.min_by_key(|moved| moved[0].1.time)?;
        let (place, movement) = earliest[0];
        *earliest = &earliest[1..];
        available += i128::from(movement.quantity);
        if available < 0 {
            return Some(place);
        }
    }
}
