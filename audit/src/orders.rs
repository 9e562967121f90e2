//! Orders of one partition: what each holds, what it costs, and how it ended.

use fnv::FnvHashMap;
use uuid::Uuid;

use crate::body::{Actor, Line, Money, Placed};
use crate::checks::Check;
use crate::digest::{OrderDigest, Step};
use crate::entry::Entry;
use crate::place::{Offset, Place};
use crate::report::Findings;
use crate::stock::SkuNumber;
use crate::versions::Reached;

/// Every order that a record names.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    by_id: FnvHashMap<u128, Order>,
    /// The lines of all orders, one order's together.
    lines: Vec<(SkuNumber, i64)>,
    /// What one unit of each SKU was sold for, and the first order of that.
    prices: FnvHashMap<(SkuNumber, Money), Offset>,
    placed: u64,
}

/// An order. Its two offsets answer what it was at any earlier position.
#[derive(Debug, Default)]
pub(crate) struct Order {
    pub(crate) reached: Reached,
    pub(crate) placed: Option<Offset>,
    pub(crate) cancelled: Option<Offset>,
    /// Whose it is.
    pub(crate) user: Uuid,
    pub(crate) total: i64,
    /// Microseconds since 1970.
    pub(crate) placed_at: i64,
    /// What its lines and its total say.
    pub(crate) placed_digest: OrderDigest,
    /// What its row says while it is placed, and once it is cancelled.
    digest: OrderDigest,
    cancelled_digest: OrderDigest,
    first_line: u32,
    lines: u32,
}

impl Orders {
    /// How far an order is, to be moved on.
    pub(crate) fn reached(&mut self, id: Uuid) -> &mut Reached {
        &mut self.by_id.entry(id.as_u128()).or_default().reached
    }

    pub(crate) fn place(
        &mut self,
        id: Uuid,
        entry: &Entry<'_>,
        (event, actor): (&Placed<'_>, Actor<'_>),
        numbered: impl Iterator<Item = (SkuNumber, i64)>,
        place: Place,
        findings: &mut Findings,
    ) {
        check_amounts(entry, event, place, findings);
        findings.looked(Check::Lives);
        if event.id != entry.aggregate {
            let found = format!("Its event places order {}.", event.id);
            findings.broken(Check::Lives, entry.name(), place, found);
        }
        let order = self.by_id.entry(id.as_u128()).or_default();
        if let Some(before) = order.placed {
            let found = format!("It was placed before, at {}.", before.of(place.partition));
            return findings.broken(Check::Lives, entry.name(), place, found);
        }
        let at = Offset::new(place.offset);
        order.placed = Some(at);
        order.user = event.user;
        order.total = event.total.amount;
        order.placed_at = event.at;
        order.placed_digest = OrderDigest::new(&event.lines, event.total);
        order.digest = order.placed_digest.after(&Step {
            version: entry.version,
            at: event.at,
            actor,
            kind: "order-placed",
            reason: None,
        });
        order.first_line = self.lines.len() as u32;
        order.lines = event.lines.len() as u32;
        for ((sku, quantity), line) in numbered.zip(&event.lines) {
            self.lines.push((sku, quantity));
            self.prices.entry((sku, line.unit_price)).or_insert(at);
        }
        self.placed += 1;
    }

    pub(crate) fn cancel(
        &mut self,
        id: Uuid,
        entry: &Entry<'_>,
        (returned, step): (Vec<(SkuNumber, i64)>, Step<'_>),
        place: Place,
        findings: &mut Findings,
    ) {
        findings.looked(Check::Lives);
        findings.looked(Check::Returns);
        let order = self.by_id.entry(id.as_u128()).or_default();
        if order.placed.is_none() {
            let found = "It is cancelled, but was never placed.";
            return findings.broken(Check::Lives, entry.name(), place, found);
        }
        if let Some(before) = order.cancelled {
            let found = format!(
                "It was cancelled before, at {}.",
                before.of(place.partition)
            );
            return findings.broken(Check::Lives, entry.name(), place, found);
        }
        order.cancelled = Some(Offset::new(place.offset));
        order.cancelled_digest = order.digest.after(&step);
        let held = lines_of(&self.lines, order).to_vec();
        let (held, returned) = (summed(held), summed(returned));
        if held != returned {
            let (held, returned) = (units(&held), units(&returned));
            let found = format!("It held {held} units, but {returned} are given back.");
            findings.broken(Check::Returns, entry.name(), place, found);
        }
    }

    /// An order that was placed.
    pub(crate) fn get(&self, id: Uuid) -> Option<&Order> {
        let order = self.by_id.get(&id.as_u128());
        order.filter(|order| order.placed.is_some())
    }

    /// Every order that was placed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Uuid, &Order)> {
        let placed = self
            .by_id
            .iter()
            .filter(|(_, order)| order.placed.is_some());
        placed.map(|(id, order)| (Uuid::from_u128(*id), order))
    }

    /// Every id that a record names.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.by_id.keys().map(|id| Uuid::from_u128(*id))
    }

    /// How many were placed.
    pub(crate) fn len(&self) -> u64 {
        self.placed
    }

    /// What an order holds while it lives.
    pub(crate) fn lines(&self, order: &Order) -> &[(SkuNumber, i64)] {
        lines_of(&self.lines, order)
    }

    /// Every price that an order stated for one unit of a SKU, with the first such order.
    pub(crate) fn prices(&self) -> impl Iterator<Item = (SkuNumber, Money, Offset)> {
        let prices = self.prices.iter();
        prices.map(|((sku, price), at)| (*sku, *price, *at))
    }
}

fn lines_of<'a>(lines: &'a [(SkuNumber, i64)], order: &Order) -> &'a [(SkuNumber, i64)] {
    &lines[order.first_line as usize..][..order.lines as usize]
}

impl Order {
    /// What its row says in this status.
    pub(crate) fn digest(&self, status: &str) -> OrderDigest {
        match status {
            "cancelled" => self.cancelled_digest,
            _ => self.digest,
        }
    }

    /// Its status now, as rows and gate spell it.
    pub(crate) fn status(&self) -> &'static str {
        match self.cancelled {
            None => "placed",
            Some(_) => "cancelled",
        }
    }
}

/// Units per SKU, in one order of SKUs, so that two lists can be compared.
fn summed(mut units: Vec<(SkuNumber, i64)>) -> Vec<(SkuNumber, i128)> {
    units.sort_unstable();
    let mut sums: Vec<(SkuNumber, i128)> = Vec::with_capacity(units.len());
    for (sku, quantity) in units {
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
    for (index, line) in order.lines.iter().enumerate() {
        let Line {
            sku,
            quantity,
            unit_price,
            total,
            ..
        } = line;
        let expected = i128::from(unit_price.amount) * i128::from(*quantity);
        sum += i128::from(total.amount);
        let again = order.lines[..index].iter().any(|other| other.sku == *sku);
        let found = if i128::from(total.amount) != expected {
            format!("{quantity} of {sku} cost {}, not {expected}.", total.amount)
        } else if unit_price.currency != currency || total.currency != currency {
            format!("The line of {sku} is not in {currency}.")
        } else if *quantity < 1 || unit_price.amount < 0 {
            format!(
                "{quantity} of {sku} for {} each is no line.",
                unit_price.amount
            )
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
