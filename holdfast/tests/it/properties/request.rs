//! A command of a history as a request: the same bytes each time it is sent.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::history::{CUSTOMERS, Canceller, Command, Numbered, SKUS};
use super::ledger::Ledger;
use crate::harness::Client;

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The number of the command that first used the key.
    pub(crate) number: usize,
    pub(crate) command: Command,
    pub(crate) sender: Sender,
    method: Method,
    path: String,
    body: Value,
    key: String,
}

/// Who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Admin,
    Customer(usize),
}

/// One sending of a request in a round.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    pub(crate) numbered: Numbered,
    pub(crate) request: Request,
    /// Whether the body is not the one that the key was first used with.
    pub(crate) is_reuse: bool,
}

/// The names that one play of a history gives to its SKUs and keys; none is used twice.
#[derive(Debug, Clone)]
pub(crate) struct Names(pub(crate) u32);

impl Names {
    /// With which all its SKUs begin, and no others.
    pub(crate) fn prefix(&self) -> String {
        format!("CASE-{}-", self.0)
    }

    pub(crate) fn sku(&self, sku: usize) -> String {
        format!("{}{}", self.prefix(), SKUS[sku])
    }

    fn key(&self, number: usize) -> String {
        format!("case-{}-{number}", self.0)
    }
}

impl Sending {
    /// What a command sends, as things stand when its round begins. `None`: it refers to something
    /// that did not come to be.
    pub(crate) fn of(numbered: &Numbered, names: &Names, ledger: &Ledger) -> Option<Self> {
        let sending = |request, is_reuse| Self {
            numbered: numbered.clone(),
            request,
            is_reuse,
        };
        match &numbered.command {
            Command::Again { of } => Some(sending(ledger.request(*of)?.clone(), false)),
            Command::Reuse { of } => {
                let first = ledger.request(*of)?;
                // A refusal is forgotten when an epoch ends; what stands in the log is not.
                let other = ledger.is_done(*of).then(|| first.with_another_body());
                Some(match other.flatten() {
                    Some(other) => sending(other, true),
                    None => sending(first.clone(), false),
                })
            }
            _ => Some(sending(Request::of(numbered, names, ledger)?, false)),
        }
    }
}

impl Request {
    fn of(numbered: &Numbered, names: &Names, ledger: &Ledger) -> Option<Self> {
        let Numbered { number, command } = numbered;
        let item = |sku: &usize| format!("/v1/inventory/{}", names.sku(*sku));
        let (sender, method, path, body) = match command {
            Command::Place { customer, lines } => {
                let lines: Vec<_> = lines
                    .iter()
                    .map(|(sku, units)| json!({"sku": names.sku(*sku), "quantity": units}))
                    .collect();
                let body = json!({"lines": lines});
                (
                    Sender::Customer(*customer),
                    Method::POST,
                    "/v1/orders".to_owned(),
                    body,
                )
            }
            Command::Cancel { placed_by, by } => {
                let order = ledger.order(*placed_by)?;
                let sender = match by {
                    Canceller::Owner => Sender::Customer(order.customer),
                    Canceller::Staff => Sender::Admin,
                    Canceller::Stranger => Sender::Customer((order.customer + 1) % CUSTOMERS.len()),
                };
                let path = format!("/v1/orders/{}/cancellation", order.id);
                (sender, Method::POST, path, json!({}))
            }
            Command::Move { sku, units } => {
                let body = json!({"quantity": units, "reason": "recount"});
                let path = format!("{}/movements", item(sku));
                (Sender::Admin, Method::POST, path, body)
            }
            Command::SetStock {
                sku,
                available,
                off_by,
            } => {
                let expected = ledger.available(*sku) + off_by;
                let body = json!({"available": available, "expected": expected});
                (
                    Sender::Admin,
                    Method::PUT,
                    format!("{}/stock", item(sku)),
                    body,
                )
            }
            Command::Put { sku, price } => {
                let price = json!({"amount": price, "currency": "EUR"});
                let body = json!({"name": "Lamp", "price": price});
                (Sender::Admin, Method::PUT, item(sku), body)
            }
            Command::Discontinue { sku } => (Sender::Admin, Method::DELETE, item(sku), Value::Null),
            Command::Again { .. } | Command::Reuse { .. } => return None,
        };
        Some(Self {
            number: *number,
            command: command.clone(),
            sender,
            method,
            path,
            body,
            key: names.key(*number),
        })
    }

    /// The same key for something else; `None` where the body has nothing to change.
    fn with_another_body(&self) -> Option<Self> {
        let mut other = self.clone();
        match &self.command {
            Command::Place { .. } => {
                let quantity = &mut other.body["lines"][0]["quantity"];
                *quantity = json!(quantity.as_i64()? + 1);
            }
            Command::Cancel { .. } => other.body = json!({"reason": "another one"}),
            Command::Move { .. } => other.body["reference"] = json!("another one"),
            Command::SetStock { .. } => other.body["available"] = json!(7),
            Command::Put { .. } => other.body["category"] = json!("another one"),
            Command::Discontinue { .. } | Command::Again { .. } | Command::Reuse { .. } => {
                return None;
            }
        }
        Some(other)
    }

    /// What a compare-and-set of stock compares with.
    pub(crate) fn expected(&self) -> i64 {
        self.body["expected"].as_i64().unwrap_or_default()
    }

    /// The call, to the node whose turn it is.
    pub(crate) fn call(&self, client: &Client) -> RequestBuilder {
        let call = client.call(self.method.clone(), &self.path);
        let call = call.header("Idempotency-Key", &self.key);
        match &self.body {
            Value::Null => call,
            body => call.json(body),
        }
    }
}
