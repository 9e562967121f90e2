//! What must hold after every row, I1 to I6, asked of the shop as its users and its operator ask.

use std::collections::BTreeSet;
use std::time::Instant;

use futures::StreamExt;
use futures::stream;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Client, Ended, PASSWORD, PATIENCE, turns};
use crate::ledger::Told;

/// How many log in at once.
const LOG_INS: usize = 4;

/// A shop that can be asked.
pub(crate) trait Asked {
    /// What the audit compares with its log.
    const COMPARED: &'static [&'static str];

    /// Somebody without a token.
    fn visitor(&self) -> Client;

    /// A tool that finds this shop (`replay`, `audit`, `log`), run to its end.
    async fn tool(&self, name: &str) -> Ended;
}

/// Waits until the read models show all that the clients were told; what they do not show in time.
pub(crate) async fn drained(admin: &Client, told: &Told) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    until_nothing(deadline, async || figures(admin, told).await).await
}

/// Everything that is wrong with a shop after what its clients were told; nothing if it is right.
/// The load has ended.
pub(crate) async fn check(asked: &impl Asked, admin: &Client, told: &Told) -> Vec<String> {
    let mut wrong = gate_agrees(admin, told).await;
    wrong.extend(audit(asked).await);
    wrong.extend(people(asked, told).await);
    wrong.extend(replay(asked).await);
    wrong.extend(audit(asked).await);
    wrong
}

/// I1: the gate comes to have what the answers add up to.
pub(crate) async fn gate_agrees(admin: &Client, told: &Told) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    until_nothing(deadline, async || gate(admin, told).await).await
}

/// Asks again until nothing is wrong, at most until then.
async fn until_nothing(deadline: Instant, ask: impl AsyncFn() -> Vec<String>) -> Vec<String> {
    let mut turns = turns();
    loop {
        turns.tick().await;
        let wrong = ask().await;
        if wrong.is_empty() || Instant::now() > deadline {
            return wrong;
        }
    }
}

/// I1, I2, I3, I6: the orders are exactly those that somebody was told of, and the figures of every
/// SKU follow from them.
async fn figures(admin: &Client, told: &Told) -> Vec<String> {
    let mut wrong = vec![];
    for (sku, (supplied, available, held)) in told.stock() {
        let item = admin.get(&format!("/v1/inventory/{sku}"), "").await;
        let shown = ["supplied", "available", "held"].map(|field| item.body[field].as_i64());
        if shown != [supplied, available, held].map(Some) {
            wrong.push(format!(
                "{sku}: the clients were told {supplied} supplied, {available} available, {held} \
                 held; shown is {shown:?} ({})",
                item.status
            ));
        }
    }
    let orders = admin.list("/v1/orders").await;
    let mut shown = BTreeSet::new();
    for order in &orders {
        let (id, status) = (&order["id"], &order["status"]);
        let id = id.as_str().unwrap_or_default();
        match told.orders.get(id) {
            None => wrong.push(format!("nobody was told of order {id} ({status})")),
            Some(told) if told.cancelled != (status == "cancelled") => {
                wrong.push(format!("order {id} is {status}; told: {told:?}"));
            }
            Some(_) => {}
        }
        if !shown.insert(id) {
            wrong.push(format!("order {id} is shown twice"));
        }
    }
    let lost = told.orders.keys().filter(|id| !shown.contains(id.as_str()));
    wrong.extend(lost.map(|id| format!("order {id} was acknowledged and is lost")));
    wrong
}

async fn gate(admin: &Client, told: &Told) -> Vec<String> {
    let mut wrong = vec![];
    for (sku, (_, available, _)) in told.stock() {
        let left = admin.left_in_gate(&sku).await;
        if left != available {
            wrong.push(format!("{sku}: the gate has {left}, not {available}"));
        }
    }
    wrong
}

/// I2, I3, I4: the second reading of the raw log comes to agree with all that it is compared with.
async fn audit(asked: &impl Asked) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    until_nothing(deadline, async || audit_once(asked).await).await
}

async fn audit_once<A: Asked>(asked: &A) -> Vec<String> {
    let audit = asked.tool("audit").await;
    let compared = A::COMPARED.iter().filter(|name| {
        let mut lines = audit.stdout.lines().map(str::split_whitespace);
        !lines.any(|mut words| words.next() == Some(name) && words.next() == Some("ok"))
    });
    let mut wrong: Vec<_> = compared.map(|name| format!("the audit: {name}")).collect();
    if !audit.status.success() || !wrong.is_empty() {
        wrong.push(format!("{}{}", audit.stdout, audit.stderr));
    }
    wrong
}

/// I3: who was told that an address is theirs logs in with it and their password, and nobody else
/// gets it.
pub(crate) async fn people(asked: &impl Asked, told: &Told) -> Vec<String> {
    let visitor = asked.visitor();
    let ask = |email: &String| {
        let (visitor, email) = (visitor.clone(), email.clone());
        async move {
            let person = json!({"email": email, "password": PASSWORD});
            let log_in =
                |visitor: &Client| visitor.call(Method::POST, "/v1/sessions").json(&person);
            let session = visitor.send_until_known(log_in).await;
            let is_known = session.status == 201 && session.body["access_token"].is_string();
            let again = visitor.register(&email, PASSWORD).await;
            let wrong = [
                (!is_known).then(|| format!("{email} cannot log in: {session:?}")),
                (again.code() != "email-taken").then(|| format!("{email} was free: {again:?}")),
            ];
            wrong.into_iter().flatten().collect::<Vec<_>>()
        }
    };
    let asking = stream::iter(told.registered.iter().map(ask)).buffer_unordered(LOG_INS);
    asking.concat().await
}

/// I2, of orders: what was acknowledged is valid in the log, where more cannot be asked.
pub(crate) async fn logged(asked: &impl Asked, told: &Told) -> Vec<String> {
    let log = asked.tool("log").await;
    let mut wrong = vec![];
    if !log.status.success() {
        wrong.push(format!("the log cannot be shown: {}", log.stderr));
    }
    for (id, order) in &told.orders {
        // Void records and duplicates have a mark before their subject.
        let version = if order.cancelled { 2 } else { 1 };
        let valid = format!("  order {id} v{version} ");
        if !log.stdout.contains(&valid) {
            wrong.push(format!("the log has no valid{valid}"));
        }
    }
    wrong
}

/// I5: a rebuild from nothing gives the same rows.
async fn replay(asked: &impl Asked) -> Vec<String> {
    let replay = asked.tool("replay").await;
    let same = replay.status.success() && replay.stdout.contains("Parity: ");
    let wrong = (!same).then(|| format!("the replay: {}{}", replay.stdout, replay.stderr));
    wrong.into_iter().collect()
}
