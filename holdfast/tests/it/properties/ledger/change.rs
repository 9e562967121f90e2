//! What a round did, and whether its answers fit to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Broken, Ledger, Order};
use crate::harness::Answer;
use crate::properties::history::{Command, SKUS};
use crate::properties::request::Request;

/// The effects of a round's acknowledged commands.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Units that came and went, per SKU and command.
    movements: Vec<(usize, i64)>,
    /// By the number of the command.
    placed: BTreeMap<usize, Order>,
    /// Numbers of the commands that placed the cancelled orders.
    cancelled: Vec<usize>,
    /// Prices, in no order.
    put: Vec<(usize, i64)>,
    discontinued: BTreeSet<usize>,
}

impl Change {
    /// What an acknowledged command did.
    pub(super) fn collect(&mut self, request: &Request, answer: &Answer) {
        match &request.command {
            Command::Place { customer, lines } => {
                let order = Order {
                    id: answer.body["id"].as_str().unwrap_or_default().to_owned(),
                    customer: *customer,
                    units: per_sku(lines),
                    total: amount(&answer.body["total"]),
                    live: true,
                };
                self.placed.insert(request.number, order);
            }
            Command::Cancel { placed_by, .. } => self.cancelled.push(*placed_by),
            Command::Move { sku, units } => self.movements.push((*sku, *units)),
            Command::SetStock { sku, available, .. } => {
                self.movements.push((*sku, available - request.expected()));
            }
            Command::Put { sku, price } => self.put.push((*sku, *price)),
            Command::Discontinue { sku } => {
                self.discontinued.insert(*sku);
            }
            Command::Again { .. } | Command::Reuse { .. } => {}
        }
    }

    pub(super) fn placed(&self) -> &BTreeMap<usize, Order> {
        &self.placed
    }

    pub(super) fn cancelled(&self) -> &[usize] {
        &self.cancelled
    }

    /// SKUs that may be new, with a price.
    pub(super) fn created(&self) -> impl Iterator<Item = (usize, i64)> {
        self.put.iter().copied()
    }

    pub(super) fn supplied(&self) -> impl Iterator<Item = (usize, i64)> {
        self.movements.iter().copied()
    }

    /// Prices that an item may have had in the round.
    fn prices(&self, ledger: &Ledger, sku: usize) -> Vec<i64> {
        let before = ledger.items.get(&sku).map(|item| item.price);
        let put = self.put.iter().filter(|(of, _)| *of == sku);
        before
            .into_iter()
            .chain(put.map(|(_, price)| *price))
            .collect()
    }

    /// Whether an item may be, after the round, what it is said to be.
    pub(crate) fn may_become(&self, was_active: Option<bool>, sku: usize, active: bool) -> bool {
        let (put, discontinued) = (self.puts(sku), self.discontinued.contains(&sku));
        match (put, discontinued) {
            (false, false) => was_active == Some(active),
            (true, true) => true,
            (put, _) => put == active,
        }
    }

    /// Whether it may cost so much after the round.
    pub(crate) fn may_cost(&self, was: Option<i64>, sku: usize, price: i64) -> bool {
        match self.puts(sku) {
            true => self.put.contains(&(sku, price)),
            false => was == Some(price),
        }
    }

    fn puts(&self, sku: usize) -> bool {
        self.put.iter().any(|(of, _)| *of == sku)
    }

    /// The least and the most that can have been available of a SKU during the round.
    fn bounds(&self, ledger: &Ledger, sku: usize) -> (i64, i64) {
        let mut bounds = (ledger.available(sku), ledger.available(sku));
        let moved = self.movements.iter().filter(|(of, _)| *of == sku);
        let taken = self
            .placed
            .values()
            .filter_map(|order| order.units.get(&sku));
        let given = self
            .cancelled
            .iter()
            .filter_map(|placed_by| ledger.order(*placed_by));
        let given = given.filter_map(|order| order.units.get(&sku));
        let changes = moved.map(|(_, units)| *units);
        for units in changes
            .chain(taken.map(|units| -units))
            .chain(given.copied())
        {
            bounds.0 += units.min(0);
            bounds.1 += units.max(0);
        }
        bounds
    }

    /// Whether an acknowledged command can have been done.
    pub(super) fn accepts(
        &self,
        ledger: &Ledger,
        request: &Request,
        answer: &Answer,
        disturbed: bool,
    ) -> Result<(), Broken> {
        let can_exist = |sku: usize| ledger.items.contains_key(&sku) || self.puts(sku);
        let (status, possible) = match &request.command {
            Command::Place { .. } => {
                self.accepts_order(ledger, &self.placed[&request.number], answer)?;
                (201, true)
            }
            Command::Cancel { placed_by, .. } => {
                let times = self.cancelled.iter().filter(|of| *of == placed_by).count();
                let live = ledger.order(*placed_by).is_some_and(|order| order.live);
                (200, live && times == 1 && !request.is_strangers())
            }
            Command::Put { sku, .. } if !ledger.items.contains_key(sku) => {
                // One of several at once creates it.
                (answer.status.clamp(200, 201), true)
            }
            Command::Move { sku, .. } => (201, can_exist(*sku)),
            Command::SetStock { sku, .. } => {
                let was_true = self.has_had(ledger, *sku, request.expected(), disturbed);
                (200, can_exist(*sku) && was_true)
            }
            Command::Discontinue { sku } => (204, can_exist(*sku)),
            Command::Put { .. } => (200, true),
            Command::Again { .. } | Command::Reuse { .. } => (0, false),
        };
        if answer.status != status || !possible {
            let status = answer.status;
            return Err(format!(
                "I3: answered {status}, but it cannot have been done"
            ));
        }
        match answer.body["available"].as_i64() {
            Some(available) if available < 0 => {
                Err(format!("I1: oversold: {available} are available"))
            }
            _ => Ok(()),
        }
    }

    /// Whether an order can have been placed at these prices.
    fn accepts_order(&self, ledger: &Ledger, order: &Order, answer: &Answer) -> Result<(), Broken> {
        let lines = answer.body["lines"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let mut total = 0;
        for (sku, units) in &order.units {
            let name = SKUS[*sku];
            let was_active = ledger.items.get(sku).is_some_and(|item| item.active);
            if !was_active && !self.puts(*sku) {
                return Err(format!("an order of {name}, which cannot be ordered"));
            }
            let of_sku =
                |line: &&Value| line["sku"].as_str().is_some_and(|sku| sku.ends_with(name));
            let Some(line) = lines.iter().find(of_sku) else {
                return Err(format!("no line of {name}"));
            };
            let price = amount(&line["unit_price"]);
            if line["quantity"] != *units || amount(&line["total"]) != units * price {
                return Err(format!("not a line of {units} {name}"));
            }
            if !self.prices(ledger, *sku).contains(&price) {
                return Err(format!("{name} was never at {price} in this round"));
            }
            total += units * price;
        }
        if lines.len() != order.units.len() || total != order.total {
            return Err("the total is not the sum of the lines".to_owned());
        }
        Ok(())
    }

    /// Whether a refusal was true at some moment of the round. In a disturbed one, a figure may
    /// be of a moment that was undone: what is not in the log took stock until the epoch ended.
    pub(super) fn explains(
        &self,
        ledger: &Ledger,
        request: &Request,
        answer: &Answer,
        disturbed: bool,
    ) -> Result<(), Broken> {
        let existed = |sku: &usize| ledger.items.contains_key(sku);
        let explained = match (&request.command, answer.refusal()) {
            (Command::Place { lines, .. }, (409, "out-of-stock")) => {
                let units = per_sku(lines);
                let (sku, requested) = named(answer, &units)?;
                self.explains_shortage(ledger, answer, sku, requested, disturbed)?
            }
            (Command::Move { sku, units }, (409, "out-of-stock")) => {
                self.explains_shortage(ledger, answer, *sku, -units, disturbed)?
            }
            (Command::SetStock { sku, .. }, (409, "stock-changed")) => {
                let figure = answer.number("available");
                figure != request.expected() && self.has_had(ledger, *sku, figure, disturbed)
            }
            (Command::Place { lines, .. }, (409, "discontinued")) => {
                let (sku, _) = named(answer, &per_sku(lines))?;
                let was_active = ledger.items.get(&sku).is_some_and(|item| item.active);
                !was_active || self.discontinued.contains(&sku)
            }
            (Command::Place { lines, .. }, (422, "unknown-sku")) => {
                !existed(&named(answer, &per_sku(lines))?.0)
            }
            (
                Command::Move { sku, .. }
                | Command::SetStock { sku, .. }
                | Command::Discontinue { sku },
                (404, "not-found"),
            ) => !existed(sku),
            (Command::Cancel { .. }, (404, "not-found")) => request.is_strangers(),
            (Command::Cancel { placed_by, .. }, (409, "already-cancelled")) => {
                let live = ledger.order(*placed_by).is_some_and(|order| order.live);
                !request.is_strangers() && (!live || self.cancelled.contains(placed_by))
            }
            _ => false,
        };
        if explained {
            return Ok(());
        }
        Err(format!(
            "I6: {:?} was never true in this round",
            answer.refusal()
        ))
    }

    fn explains_shortage(
        &self,
        ledger: &Ledger,
        answer: &Answer,
        sku: usize,
        requested: i64,
        disturbed: bool,
    ) -> Result<bool, Broken> {
        if answer.number("requested") != requested {
            return Err(format!("{requested} were requested of {}", SKUS[sku]));
        }
        let available = answer.number("available");
        Ok(available < requested && self.has_had(ledger, sku, available, disturbed))
    }

    /// Whether so many can have been available at some moment.
    fn has_had(&self, ledger: &Ledger, sku: usize, figure: i64, disturbed: bool) -> bool {
        let (least, most) = self.bounds(ledger, sku);
        figure >= 0 && (disturbed || (least..=most).contains(&figure))
    }
}

/// The SKU that a refusal names, and how many were wanted.
fn named(answer: &Answer, units: &BTreeMap<usize, i64>) -> Result<(usize, i64), Broken> {
    let name = answer.body["sku"].as_str().unwrap_or_default();
    let of_name = units.iter().find(|(sku, _)| name.ends_with(SKUS[**sku]));
    let (sku, units) = of_name.ok_or("the refusal names no SKU of the order")?;
    Ok((*sku, *units))
}

fn per_sku(lines: &[(usize, i64)]) -> BTreeMap<usize, i64> {
    let mut sums = BTreeMap::new();
    for (sku, units) in lines {
        *sums.entry(*sku).or_default() += units;
    }
    sums
}

/// In minor units.
fn amount(money: &Value) -> i64 {
    money["amount"].as_i64().unwrap_or(-1)
}
