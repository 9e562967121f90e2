//! The reference model: what the acknowledged commands add up to, and whether each answer can be
//! explained by it.
//!
//! Nobody outside knows in which order the commands of a round took effect. So nothing is
//! predicted: what was answered 2xx is taken as done, and then everything else must fit, in some
//! order of the round. A figure is judged by its bounds: what was available when the round began,
//! less all that the round took, up to that and all that it gave. A round of one command has one
//! order, and is judged exactly.
//!
//! Before a command is judged, it was sent again with its key until its outcome was known.

use std::collections::BTreeMap;

use super::history::{Canceller, Command, SKUS};
use super::request::{Request, Sender, Sending};
use crate::harness::Answer;

pub(crate) mod change;

use change::Change;

/// What is wrong, in a sentence.
pub(crate) type Broken = String;

/// What is known when no command is under way.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    items: BTreeMap<usize, Item>,
    /// By the number of the command that placed it.
    orders: BTreeMap<usize, Order>,
    /// Every request so far, by the number of its command.
    requests: BTreeMap<usize, Request>,
    /// What each key was answered.
    answers: BTreeMap<usize, Answered>,
    /// Faults so far: each may have ended an epoch, and so the memory of refusals.
    faults: usize,
}

/// An item of the catalogue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) supplied: i64,
    pub(crate) price: i64,
    pub(crate) active: bool,
}

/// An order that was placed.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) customer: usize,
    /// Units per SKU.
    pub(crate) units: BTreeMap<usize, i64>,
    pub(crate) total: i64,
    pub(crate) live: bool,
}

/// The first answer of a key.
#[derive(Debug)]
struct Answered {
    answer: Answer,
    /// How many faults had been before.
    faults: usize,
}

impl Answer {
    fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What a refusal says.
    fn refusal(&self) -> (u16, &str) {
        (self.status, self.code())
    }
}

impl Ledger {
    pub(crate) fn request(&self, number: usize) -> Option<&Request> {
        self.requests.get(&number)
    }

    /// One that no command has.
    pub(crate) fn next_number(&self) -> usize {
        self.requests
            .last_key_value()
            .map_or(1, |(last, _)| last + 1)
    }

    pub(crate) fn order(&self, placed_by: usize) -> Option<&Order> {
        self.orders.get(&placed_by)
    }

    pub(crate) fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = (usize, Item)> {
        self.items.iter().map(|(sku, item)| (*sku, *item))
    }

    pub(crate) fn is_done(&self, number: usize) -> bool {
        let answered = self.answers.get(&number);
        answered.is_some_and(|answered| answered.answer.is_done())
    }

    /// Units in live orders.
    pub(crate) fn held(&self, sku: usize) -> i64 {
        let live = self.orders.values().filter(|order| order.live);
        live.filter_map(|order| order.units.get(&sku)).sum()
    }

    pub(crate) fn supplied(&self, sku: usize) -> i64 {
        self.items.get(&sku).map_or(0, |item| item.supplied)
    }

    pub(crate) fn available(&self, sku: usize) -> i64 {
        self.supplied(sku) - self.held(sku)
    }

    /// A request is about to be sent for the first time.
    pub(crate) fn sent(&mut self, sending: &Sending) {
        let Sending { request, .. } = sending;
        if !sending.is_reuse {
            self.requests
                .entry(request.number)
                .or_insert_with(|| request.clone());
        }
    }

    /// What the catalogue says when the round is over: it knows the order in which the terms
    /// changed.
    pub(crate) fn reads(&mut self, sku: usize, price: i64, active: bool) {
        if let Some(item) = self.items.get_mut(&sku) {
            (item.price, item.active) = (price, active);
        }
    }

    /// Takes in a round's answers. Returns what it may have done to the terms of items.
    ///
    /// # Errors
    /// What cannot be explained.
    pub(crate) fn take_in(
        &mut self,
        round: &[(Sending, Answer)],
        disturbed: bool,
    ) -> Result<Change, Broken> {
        self.faults += usize::from(disturbed);
        let fresh = self.fresh(round, disturbed)?;
        let mut change = Change::default();
        for (request, answer) in fresh.iter().filter(|(_, answer)| answer.is_done()) {
            change.collect(request, answer);
        }
        for (request, answer) in &fresh {
            let judged = if answer.is_done() {
                change.accepts(self, request, answer, disturbed)
            } else {
                change.explains(self, request, answer, disturbed)
            };
            judged
                .map_err(|why| format!("#{}: {why}\n  answer: {}", request.number, answer.body))?;
        }
        // An answer of a disturbed round may be one of before the fault.
        let faults = self.faults - usize::from(disturbed);
        for (request, answer) in fresh {
            let answered = Answered { answer, faults };
            self.answers.insert(request.number, answered);
        }
        self.apply(&change)?;
        Ok(change)
    }

    /// The answers that tell something new, one per key; the others must tell the same again
    /// (I3: one effect per key).
    fn fresh(
        &self,
        round: &[(Sending, Answer)],
        disturbed: bool,
    ) -> Result<Vec<(Request, Answer)>, Broken> {
        let mut of_key: BTreeMap<usize, (Request, Vec<&Answer>)> = BTreeMap::new();
        for (sending, answer) in round {
            if sending.is_reuse {
                if answer.refusal() != (422, "idempotency-key-reused") {
                    let number = sending.numbered.number;
                    return Err(format!(
                        "#{number}: I3: a key took another body: {answer:?}"
                    ));
                }
                continue;
            }
            let entry = of_key.entry(sending.request.number);
            let (_, answers) = entry.or_insert_with(|| (sending.request.clone(), vec![]));
            answers.push(answer);
        }
        let mut fresh = vec![];
        for (number, (request, answers)) in of_key {
            let before = self.answers.get(&number);
            if let Some(answer) = one_answer(before, &answers, self.faults, disturbed)
                .map_err(|why| format!("#{number}: {why}: {answers:?}, before: {before:?}"))?
            {
                fresh.push((request, answer.clone()));
            }
        }
        Ok(fresh)
    }

    fn apply(&mut self, change: &Change) -> Result<(), Broken> {
        for (sku, price) in change.created() {
            let item = Item {
                supplied: 0,
                price,
                active: true,
            };
            self.items.entry(sku).or_insert(item);
        }
        for (sku, units) in change.supplied() {
            if let Some(item) = self.items.get_mut(&sku) {
                item.supplied += units;
            }
        }
        self.orders.extend(change.placed().clone());
        for placed_by in change.cancelled() {
            if let Some(order) = self.orders.get_mut(placed_by) {
                order.live = false;
            }
        }
        for (sku, name) in SKUS.iter().enumerate() {
            let (supplied, held) = (self.supplied(sku), self.held(sku));
            if held > supplied {
                return Err(format!(
                    "I1: oversold: {held} {name} held of {supplied} supplied"
                ));
            }
        }
        Ok(())
    }
}

/// What the answers of one key tell that was not known before.
fn one_answer<'a>(
    before: Option<&'a Answered>,
    answers: &[&'a Answer],
    faults: usize,
    disturbed: bool,
) -> Result<Option<&'a Answer>, &'static str> {
    let mut done = answers.iter().copied().filter(|answer| answer.is_done());
    let (first, all_done) = (done.next(), answers.iter().all(|answer| answer.is_done()));
    let done_before = before
        .map(|before| &before.answer)
        .filter(|answer| answer.is_done());
    if let Some(first) = done_before.or(first) {
        if !(all_done || done_before.is_none() && disturbed) {
            return Err("I6: refused, though it was done");
        }
        if done.any(|answer| answer.body["id"] != first.body["id"]) {
            return Err("I3: one key, two effects");
        }
        let firsts = answers
            .iter()
            .filter(|answer| answer.is_done() && !answer.replayed);
        if firsts.count() > usize::from(done_before.is_none()) {
            return Err("I3: one key was answered twice as if for the first time");
        }
        let forgotten = before.is_none_or(|before| before.faults < faults);
        return match done_before {
            Some(_) => Ok(None),
            None if forgotten => Ok(Some(first)),
            None => Err("I6: done, though it had been refused"),
        };
    }
    let first = answers[0];
    let same = answers
        .iter()
        .all(|answer| answer.refusal() == first.refusal());
    if !same && !disturbed {
        return Err("I3: one key, two refusals");
    }
    let Some(before) = before else {
        return Ok(Some(first));
    };
    let decided_anew = answers.iter().copied().find(|answer| !answer.replayed);
    match before.answer.refusal() == first.refusal() {
        true => Ok(decided_anew.filter(|_| before.faults < faults)),
        false if before.faults < faults => Ok(Some(decided_anew.unwrap_or(first))),
        false => Err("I3: one key, two refusals"),
    }
}

impl Request {
    /// Whether its sender may see the order that it cancels.
    fn is_strangers(&self) -> bool {
        let stranger = matches!(
            self.command,
            Command::Cancel {
                by: Canceller::Stranger,
                ..
            }
        );
        stranger && self.sender != Sender::Admin
    }
}
