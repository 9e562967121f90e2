//! Orders: what each holds, what it costs, and how it ended.

use fnv::FnvHashMap;

use crate::body::{LinePrice, Placed};
use crate::checks::Check;
use crate::entry::Entry;
use crate::place::Place;
use crate::report::Findings;
use crate::stock::SkuNumber;

/// Every order that was placed.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    by_id: FnvHashMap<Box<str>, Order>,
}

/// An order. Its two places answer what it was at any earlier position.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) placed: Place,
    pub(crate) cancelled: Option<Place>,
    pub(crate) total: i64,
    pub(crate) lines: Box<[(SkuNumber, i64)]>,
}

impl Orders {
    pub(crate) fn place(
        &mut self,
        entry: &Entry<'_>,
        event: &Placed<'_>,
        lines: Vec<(SkuNumber, i64)>,
        place: Place,
        findings: &mut Findings,
    ) {
        check_amounts(entry, event, place, findings);
        findings.looked(Check::Lives);
        if event.id != entry.aggregate {
            let found = format!("Its event places order {}.", event.id);
            findings.broken(Check::Lives, entry.name(), place, found);
        }
        if let Some(order) = self.by_id.get(entry.aggregate) {
            let found = format!("It was placed before, at {}.", order.placed);
            return findings.broken(Check::Lives, entry.name(), place, found);
        }
        let order = Order {
            placed: place,
            cancelled: None,
            total: event.total.amount,
            lines: lines.into(),
        };
        self.by_id.insert(entry.aggregate.into(), order);
    }

    pub(crate) fn cancel(
        &mut self,
        entry: &Entry<'_>,
        returned: &[(SkuNumber, i64)],
        place: Place,
        findings: &mut Findings,
    ) {
        findings.looked(Check::Lives);
        findings.looked(Check::Returns);
        let Some(order) = self.by_id.get_mut(entry.aggregate) else {
            let found = "It is cancelled, but was never placed.";
            return findings.broken(Check::Lives, entry.name(), place, found);
        };
        if let Some(before) = order.cancelled {
            let found = format!("It was cancelled before, at {before}.");
            return findings.broken(Check::Lives, entry.name(), place, found);
        }
        order.cancelled = Some(place);
        let (held, returned) = (summed(&order.lines), summed(returned));
        if held != returned {
            let (held, returned) = (units(&held), units(&returned));
            let found = format!("It held {held} units, but {returned} are given back.");
            findings.broken(Check::Returns, entry.name(), place, found);
        }
    }

    /// Units in orders that are alive, by SKU.
    pub(crate) fn held(&self) -> FnvHashMap<SkuNumber, i128> {
        self.held_where(|order| order.cancelled.is_none())
    }

    /// Units in the orders that `alive` chooses, by SKU.
    pub(crate) fn held_where(&self, alive: impl Fn(&Order) -> bool) -> FnvHashMap<SkuNumber, i128> {
        let mut held = FnvHashMap::default();
        for order in self.by_id.values().filter(|order| alive(order)) {
            for (sku, quantity) in &order.lines {
                *held.entry(*sku).or_default() += i128::from(*quantity);
            }
        }
        held
    }

    pub(crate) fn is_placed(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Order> {
        self.by_id.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Order)> {
        self.by_id.iter().map(|(id, order)| (id.as_ref(), order))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// Units per SKU, in one order of SKUs, so that two lists can be compared.
fn summed(units: &[(SkuNumber, i64)]) -> Vec<(SkuNumber, i128)> {
    let mut sums: Vec<(SkuNumber, i128)> = Vec::with_capacity(units.len());
    let mut sorted = units.to_vec();
    sorted.sort_unstable();
    for (sku, quantity) in sorted {
        match sums.last_mut() {
            Some((last, sum)) if *last == sku => *sum += i128::from(quantity),
            _ => sums.push((sku, i128::from(quantity))),
        }
    }
    sums
}

fn units(sums: &[(SkuNumber, i128)]) -> i128 {
    sums.iter().map(|(_, quantity)| quantity).sum()
}

/// Every line's total is price × quantity, the order's total their sum, in one currency; lines
/// name each SKU once and take something.
fn check_amounts(entry: &Entry<'_>, order: &Placed<'_>, place: Place, findings: &mut Findings) {
    findings.looked(Check::Amounts);
    let currency = order.total.currency;
    let mut sum = 0_i128;
    for (index, ((sku, quantity), price)) in order.lines.iter().zip(&order.prices).enumerate() {
        let LinePrice { unit, total } = price;
        let expected = i128::from(unit.amount) * i128::from(*quantity);
        sum += i128::from(total.amount);
        let again = order.lines[..index].iter().any(|(other, _)| other == sku);
        let found = if i128::from(total.amount) != expected {
            format!("{quantity} of {sku} cost {}, not {expected}.", total.amount)
        } else if unit.currency != currency || total.currency != currency {
            format!("The line of {sku} is not in {currency}.")
        } else if *quantity < 1 || unit.amount < 0 {
            format!("{quantity} of {sku} for {} each is no line.", unit.amount)
        } else if again {
            format!("Two lines name {sku}.")
        } else {
            continue;
        };
        findings.broken(Check::Amounts, entry.name(), place, found);
    }
    if sum != i128::from(order.total.amount) || order.lines.is_empty() {
        let found = format!("It costs {}, its lines {sum}.", order.total.amount);
        findings.broken(Check::Amounts, entry.name(), place, found);
    }
}
