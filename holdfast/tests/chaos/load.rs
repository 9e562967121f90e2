//! The shop's customers and its staff, at work while things break: orders of a hot SKU and of
//! others, cancellations, double clicks, supply, new prices, registrations. Everybody sends the
//! same again, with the same key, until the outcome is known.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::{Answer, Client, PASSWORD, eventually, fresh_key};
use crate::ledger::{Attempt, Ledger, Order};
use crate::shop::ADMIN;

/// The one that everybody wants.
pub(crate) const HOT: &str = "HOT-1";
/// One of which there is enough.
pub(crate) const PLENTY: &str = "LAMP-1";
/// With the others.
const SKUS: [&str; 4] = [HOT, PLENTY, "LAMP-2", "LAMP-3"];
const HOT_STOCK: u32 = 40;
const STOCK: u32 = 400;
const BUYERS: usize = 6;
const ACCOUNTS: usize = 3;
/// How long somebody thinks before the next intention, at most.
const THINKS_MAX: Duration = Duration::from_millis(40);
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Everybody at work.
pub(crate) struct Load {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) admin: Client,
    pub(crate) customers: Vec<Client>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

/// One who works until told to stop, and always until the outcome is known.
#[derive(Clone)]
pub(crate) struct Worker {
    client: Client,
    ledger: Arc<Ledger>,
    stopped: watch::Receiver<bool>,
}

impl Load {
    /// Stocks the shop that this visitor has come to and lets everybody begin.
    pub(crate) async fn begin(visitor: &Client, seed: u64) -> Self {
        let admin = visitor.log_in(ADMIN, PASSWORD).await;
        let customers = join_all((0..ACCOUNTS).map(|number| customer(visitor, number))).await;
        let ledger = Arc::new(Ledger::default());
        let (stop, stopped) = watch::channel(false);
        let mut load = Self {
            ledger,
            admin,
            customers,
            stop,
            workers: JoinSet::new(),
        };
        let worker = |client: &Client| Worker {
            client: client.impatient(),
            ledger: Arc::clone(&load.ledger),
            stopped: stopped.clone(),
        };
        let staff = worker(&load.admin);
        for sku in SKUS {
            staff.put_item(sku, 1999).await;
            let units = if sku == HOT { HOT_STOCK } else { STOCK };
            staff.receive(sku, units).await;
        }
        let mut draws = StdRng::seed_from_u64(seed);
        for number in 0..BUYERS {
            let buyer = worker(&load.customers[number % ACCOUNTS]);
            let draws = StdRng::from_rng(&mut draws);
            load.workers.spawn(buyer.buy(draws));
        }
        load.workers
            .spawn(staff.keep_shop(StdRng::from_rng(&mut draws)));
        let visitor = worker(visitor);
        load.workers.spawn(visitor.register());
        load
    }

    /// A customer beside the others.
    pub(crate) fn worker(&self) -> Worker {
        self.works(self.customers[0].impatient())
    }

    /// One who does not hang up after a second.
    pub(crate) fn patient_worker(&self) -> Worker {
        self.works(self.customers[0].clone())
    }

    fn works(&self, client: Client) -> Worker {
        Worker {
            client,
            ledger: Arc::clone(&self.ledger),
            stopped: self.stop.subscribe(),
        }
    }

    /// Brings more of a SKU.
    pub(crate) async fn supply(&self, sku: &str, units: u32) {
        self.works(self.admin.clone()).receive(sku, units).await;
    }

    /// Waits until so many more commands are accepted that were begun after this moment.
    pub(crate) async fn accepts(&self, commands: usize) {
        let since = Instant::now();
        eventually("commands are accepted", async || {
            (self.ledger.accepted_since(since) >= commands).then_some(())
        })
        .await;
    }

    /// Lets everybody bring to an end what was begun.
    ///
    /// # Errors
    /// What did not come to one in time.
    pub(crate) async fn end(&mut self, within: Duration) -> Result<(), String> {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(within, async {
            while let Some(ended) = self.workers.join_next().await {
                if let Err(error) = ended {
                    self.ledger.wrong(format!("a worker gave up: {error}"));
                }
            }
        });
        let unknown = || format!("outcomes were unknown {within:?} after the load's end");
        ended.await.map_err(|_| unknown())
    }
}

impl Load {
    /// Lets nobody wait any longer for what nobody can answer.
    pub(crate) async fn break_off(&mut self) {
        self.stop.send_replace(true);
        self.workers.shutdown().await;
    }
}

async fn customer(visitor: &Client, number: usize) -> Client {
    let email = format!("customer-{number}@shop.example");
    visitor.joins(&email, PASSWORD).await
}

impl Worker {
    fn goes_on(&self) -> bool {
        !*self.stopped.borrow()
    }

    async fn buy(self, mut draws: StdRng) {
        let mut own: Vec<String> = vec![];
        while self.goes_on() {
            match draws.random_range(0..100) {
                0..55 => own.extend(self.order(&[(HOT, 1)]).await),
                55..75 => {
                    let mut line = || {
                        let sku = SKUS[draws.random_range(0..SKUS.len())];
                        (sku, draws.random_range(1..=2))
                    };
                    let lines = [line(), line()];
                    own.extend(self.order(&lines).await);
                }
                75..82 => own.extend(self.click_twice(HOT).await),
                _ if own.is_empty() => {}
                _ => {
                    let order = own.swap_remove(draws.random_range(0..own.len()));
                    self.cancel(&order).await;
                }
            }
            let thinks = draws.random_range(Duration::ZERO..THINKS_MAX);
            tokio::time::sleep(thinks).await;
        }
    }

    /// Orders; the order's id where it was placed.
    pub(crate) async fn order(&self, lines: &[(&str, u32)]) -> Option<String> {
        self.order_with_key(&fresh_key(), lines).await
    }

    /// The same with a key that may have been used for the same before.
    pub(crate) async fn order_with_key(&self, key: &str, lines: &[(&str, u32)]) -> Option<String> {
        let answer = self.order_with(key, lines).await;
        self.placed(key, lines, &answer)
    }

    /// The same; whether an order stood already when it was asked for now.
    pub(crate) async fn finds_placed(&self, key: &str, lines: &[(&str, u32)]) -> bool {
        let answer = self.order_with(key, lines).await;
        let placed = self.placed(key, lines, &answer).is_some();
        // A second attempt would find the first.
        placed && answer.replayed && self.ledger.attempts(key) == 1
    }

    async fn order_with(&self, key: &str, lines: &[(&str, u32)]) -> Answer {
        let line = |(sku, units): &(&str, u32)| json!({"sku": sku, "quantity": units});
        let body = json!({"lines": lines.iter().map(line).collect::<Vec<_>>()});
        let write = || self.keyed(Method::POST, "/v1/orders", key, &body);
        self.until_known(key, write, &[(201, ""), (409, "out-of-stock")])
            .await
    }

    fn placed(&self, key: &str, lines: &[(&str, u32)], answer: &Answer) -> Option<String> {
        if answer.status != 201 {
            return None;
        }
        let lines = lines.iter().map(|(sku, units)| ((*sku).to_owned(), *units));
        let order = Order {
            key: key.to_owned(),
            lines: lines.collect(),
            cancelled: false,
        };
        self.ledger.order(answer.id(), order);
        Some(answer.id())
    }

    /// Orders twice at once with one key: one order, or none. That one of the two is refused and
    /// the other is not can be only where an epoch ended between them (S5): a refusal is true of
    /// the attempts that had come before it.
    async fn click_twice(&self, sku: &str) -> Option<String> {
        let (key, lines) = (fresh_key(), [(sku, 1)]);
        let before = self.epoch().await;
        let (one, two) = tokio::join!(self.order_with(&key, &lines), self.order_with(&key, &lines));
        let within_one = before.is_some() && before == self.epoch().await;
        let ids = [&one, &two].map(|answer| self.placed(&key, &lines, answer));
        match &ids {
            [Some(one), Some(two)] if one != two => {
                self.ledger
                    .wrong(format!("one key, two orders: {one} and {two}"));
            }
            [Some(_), None] | [None, Some(_)] if within_one => {
                let wrong = format!("within {before:?}, one of two clicks was refused: {key}");
                self.ledger.wrong(wrong);
            }
            _ => {}
        }
        let [one, two] = ids;
        one.or(two)
    }

    /// The epoch that every node says is open; `None` where they differ or one says nothing.
    async fn epoch(&self) -> Option<String> {
        let mut said = self.client.open_epochs().await;
        said.dedup();
        match &mut said[..] {
            [one] => one.take(),
            _ => None,
        }
    }

    async fn cancel(&self, order: &str) {
        let path = format!("/v1/orders/{order}/cancellation");
        let key = fresh_key();
        let write = || self.keyed(Method::POST, &path, &key, &Value::Null);
        self.until_known(&key, write, &[(200, "")]).await;
        self.ledger.cancelled(order);
    }

    /// Brings supply and changes prices.
    async fn keep_shop(self, mut draws: StdRng) {
        while self.goes_on() {
            let sku = SKUS[draws.random_range(0..SKUS.len())];
            match draws.random_range(0..4) {
                0 => self.put_item(sku, draws.random_range(1000..3000)).await,
                1 => self.receive(sku, draws.random_range(1..5)).await,
                _ => self.receive(HOT, draws.random_range(1..10)).await,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn put_item(&self, sku: &str, cents: u32) {
        let item = json!({"name": "Lamp", "price": {"amount": cents, "currency": "EUR"}});
        let (path, key) = (format!("/v1/inventory/{sku}"), fresh_key());
        let write = || self.keyed(Method::PUT, &path, &key, &item);
        self.until_known(&key, write, &[(200, ""), (201, "")]).await;
    }

    async fn receive(&self, sku: &str, units: u32) {
        let body = json!({"quantity": units, "reason": "received"});
        let (path, key) = (format!("/v1/inventory/{sku}/movements"), fresh_key());
        let write = || self.keyed(Method::POST, &path, &key, &body);
        self.until_known(&key, write, &[(201, "")]).await;
        self.ledger.supplied(sku, units);
    }

    /// New people come; who was told that an address is theirs has it, and nobody else gets it.
    async fn register(self) {
        let mut number = 0;
        while self.goes_on() {
            number += 1;
            let email = format!("newcomer-{number}@shop.example");
            let body = json!({"email": email, "password": PASSWORD, "name": "Kim"});
            let write = || self.client.call(Method::POST, "/v1/users").json(&body);
            // Without a key, a retry may find one's own first attempt.
            let answer = self
                .until_known(&email, write, &[(201, ""), (409, "email-taken")])
                .await;
            if answer.status == 409 && self.ledger.attempts(&email) == 1 {
                self.ledger.wrong(format!("{email} was taken by nobody"));
            }
            self.ledger.registered(email);
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }

    fn keyed(&self, method: Method, path: &str, key: &str, body: &Value) -> RequestBuilder {
        let call = self
            .client
            .call(method, path)
            .header("Idempotency-Key", key);
        if body.is_null() {
            call
        } else {
            call.json(body)
        }
    }

    /// Sends the same until it is answered with something else than "try again". What is answered
    /// has to be one of what is expected.
    async fn until_known(
        &self,
        key: &str,
        write: impl Fn() -> RequestBuilder,
        expected: &[(u16, &str)],
    ) -> Answer {
        let begun = Instant::now();
        loop {
            let sent = Instant::now();
            let answer = self.client.try_send(write()).await;
            let said = match &answer {
                None => "no answer".to_owned(),
                Some(answer) => format!("{} {}", answer.status, answer.body),
            };
            let known = answer.filter(|answer| answer.status != 503);
            self.ledger.attempt(Attempt {
                key: key.to_owned(),
                sent,
                answered: Instant::now(),
                status: known.as_ref().map(|answer| answer.status),
                said,
            });
            if let Some(answer) = known {
                let fits = |(status, code): &(u16, &str)| {
                    answer.status == *status && (code.is_empty() || answer.code() == *code)
                };
                if !expected.iter().any(fits) {
                    let waited = begun.elapsed();
                    self.ledger.wrong(format!(
                        "not one of {expected:?} after {waited:?}: {answer:?}"
                    ));
                }
                self.ledger.known();
                return answer;
            }
            tokio::time::sleep(ASKS_AGAIN_AFTER).await;
        }
    }
}
