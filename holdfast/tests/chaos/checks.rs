//! What must hold after every row, I1 to I6, asked of the shop as its users and its operator ask.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::harness::{Client, PASSWORD, turns};
use crate::ledger::Told;
use crate::shop::Shop;

/// How long everything may take to agree once the load has ended.
const AGREES_WITHIN: Duration = Duration::from_secs(60);

/// Waits until the read models show all that the clients were told; what they do not show in time.
pub(crate) async fn drained(admin: &Client, told: &Told) -> Vec<String> {
    let deadline = Instant::now() + AGREES_WITHIN;
    until_nothing(deadline, async || figures(admin, told).await).await
}

/// Everything that is wrong with the shop after what its clients were told; nothing if it is
/// right. The load has ended.
pub(crate) async fn check(shop: &Shop, admin: &Client, told: &Told) -> Vec<String> {
    let mut wrong = told.wrong.clone();
    let deadline = Instant::now() + AGREES_WITHIN;
    wrong.extend(until_nothing(deadline, async || gate(admin, told).await).await);
    wrong.extend(until_nothing(deadline, async || audit(shop).await).await);
    if told.split > 0 && epochs(shop).await < 2 {
        wrong.push("within one epoch, one of two clicks was refused".to_owned());
    }
    wrong.extend(people(shop, told).await);
    wrong.extend(replay(shop).await);
    wrong.extend(until_nothing(deadline, async || audit(shop).await).await);
    for (who, said) in shop.said() {
        let panics = said.lines().filter(|line| line.contains("panicked at"));
        wrong.extend(panics.map(|line| format!("{who}: {line}")));
    }
    wrong
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

/// I1: the gate has what the answers add up to.
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

/// I2, I3, I4: the second reading of the raw log, with gate and read models beside it.
async fn audit(shop: &Shop) -> Vec<String> {
    let audit = shop.tool("audit").await;
    let compared = ["read-models", "gate"].into_iter().filter(|name| {
        let mut lines = audit.stdout.lines().map(str::split_whitespace);
        !lines.any(|mut words| words.next() == Some(name) && words.next() == Some("ok"))
    });
    let mut wrong: Vec<_> = compared.map(|name| format!("the audit: {name}")).collect();
    if !audit.status.success() || !wrong.is_empty() {
        wrong.push(format!("{}{}", audit.stdout, audit.stderr));
    }
    wrong
}

/// How many epochs the log has seen.
async fn epochs(shop: &Shop) -> usize {
    let audit = shop.tool("audit").await.stdout;
    let mut words = audit.split_whitespace();
    let counted = words.find(|word| *word == "of").and_then(|_| words.next());
    counted.and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// I3: who was told that an address is theirs can log in with it, and nobody else gets it.
async fn people(shop: &Shop, told: &Told) -> Vec<String> {
    let visitor = shop.visitor();
    let asked = told.registered.iter().map(|email| {
        let visitor = visitor.clone();
        async move {
            let again = visitor.register(email, PASSWORD).await;
            (again.code() != "email-taken").then(|| format!("{email} was free: {again:?}"))
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// I5: a rebuild from nothing gives the same rows.
async fn replay(shop: &Shop) -> Vec<String> {
    let replay = shop.tool("replay").await;
    let same = replay.status.success() && replay.stdout.contains("Parity: ");
    let wrong = (!same).then(|| format!("the replay: {}{}", replay.stdout, replay.stderr));
    wrong.into_iter().collect()
}
