//! The calls that set a scene and look at it afterwards.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use contract::answers::{Item, Movement, Order, TokenPair};
use domain::ids::OrderId;
use hyper::body::Bytes;
use hyper::{Method, StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use super::call::{Bearer, Call};
use super::client::Client;
use super::connection::{Answer, Target};
use super::server::Admin;

/// The most units that one movement may bring.
const MOVEMENT_MAX: u64 = 1_000_000;
/// The longest page of a list.
const PAGE: usize = 200;
/// How often a read model is asked again while it catches up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A server's two sides, and an administrator who is logged in.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    /// Where writes go.
    pub(crate) writes: Target,
    /// Where reads go; the same address where one server does both.
    pub(crate) reads: Target,
    staff: Bearer,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl Shop {
    /// Logs the administrator in.
    ///
    /// # Errors
    /// When that is refused.
    pub(crate) async fn open(writes: &Target, reads: &Target, admin: &Admin) -> Result<Self> {
        let staff = log_in(writes, &admin.email, &admin.password)
            .await
            .context("the administrator cannot log in")?;
        Ok(Self {
            writes: writes.clone(),
            reads: reads.clone(),
            staff,
        })
    }

    /// Puts an item into the catalogue with this much stock.
    ///
    /// # Errors
    /// When that is refused.
    pub(crate) async fn stock(&self, sku: &str, units: u64) -> Result<()> {
        let mut client = Client::of(&self.writes);
        let currency = self.currency().await?;
        let item =
            json!({"name": "A lamp, on sale", "price": {"amount": 1999, "currency": currency}});
        let put = Call::json(Method::PUT, uri(&format!("/v1/inventory/{sku}"))?, &item);
        expect(
            &mut client,
            put.by(&self.staff).under_new_key(),
            StatusCode::CREATED,
        )
        .await?;
        let mut left = units;
        while left > 0 {
            let quantity = left.min(MOVEMENT_MAX);
            let received = json!({"quantity": quantity, "reason": "received"});
            let path = uri(&format!("/v1/inventory/{sku}/movements"))?;
            let call = Call::json(Method::POST, path, &received)
                .by(&self.staff)
                .under_new_key();
            expect(&mut client, call, StatusCode::CREATED).await?;
            left -= quantity;
        }
        Ok(())
    }

    /// Takes an item out of the catalogue, if it is there.
    ///
    /// # Errors
    /// When that is refused.
    pub(crate) async fn discontinue(&self, sku: &str) -> Result<()> {
        let (method, path) = (Method::DELETE, uri(&format!("/v1/inventory/{sku}"))?);
        let call = Call::bare(method, path).by(&self.staff).under_new_key();
        let answer = Client::of(&self.writes).send(&call).await.answer?;
        match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
            _ => bail!("{}", unexpected(&call, &answer)),
        }
    }

    /// Registers customers and logs them in. Few: a password's hash is made to be slow, so a
    /// crowd of buyers shares them.
    ///
    /// # Errors
    /// When that is refused.
    pub(crate) async fn customers(&self, run: &str, count: usize) -> Result<Vec<Bearer>> {
        let mut client = Client::of(&self.writes);
        let mut customers = Vec::with_capacity(count);
        for number in 0..count {
            let email = format!("buyer-{number}-{run}@holdfast.example");
            let password = uuid::Uuid::new_v4().to_string();
            let user =
                json!({"email": email, "password": password, "name": format!("Buyer {number}")});
            let call = Call::json(Method::POST, uri("/v1/users")?, &user).under_new_key();
            expect(&mut client, call, StatusCode::CREATED).await?;
            customers.push(log_in(&self.writes, &email, &password).await?);
        }
        Ok(customers)
    }

    /// An item as the read side shows it now.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) async fn item(&self, sku: &str) -> Result<Item> {
        read(
            &mut Client::of(&self.reads),
            get(&format!("/v1/inventory/{sku}"))?,
        )
        .await
    }

    /// Waits until the read side has seen so many units ordered of an item, and shows it settled.
    /// `None`: not within this time.
    ///
    /// # Errors
    /// When the read side does not answer.
    pub(crate) async fn caught_up(
        &self,
        sku: &str,
        ordered: u64,
        within: Duration,
    ) -> Result<Option<Item>> {
        let deadline = Instant::now() + within;
        let mut client = Client::of(&self.reads);
        let call = get(&format!("/v1/inventory/{sku}"))?;
        loop {
            let answered = client.send(&call).await.answer?;
            if answered.status == StatusCode::OK {
                let item: Item = serde_json::from_slice(&answered.body)?;
                if !item.settling && u64::try_from(item.held + item.sold)? >= ordered {
                    return Ok(Some(item));
                }
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An order as staff sees it; `None` where there is none.
    ///
    /// # Errors
    /// When the read side does not answer.
    pub(crate) async fn order(&self, client: &mut Client, id: OrderId) -> Result<Option<Order>> {
        let call = get(&format!("/v1/orders/{id}"))?.by(&self.staff);
        let answer = client.send(&call).await.answer?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => Ok(Some(serde_json::from_slice(&answer.body)?)),
            _ => bail!("{}", unexpected(&call, &answer)),
        }
    }

    /// An item's whole ledger, newest first.
    ///
    /// # Errors
    /// When the read side does not answer.
    pub(crate) async fn ledger(&self, sku: &str) -> Result<Vec<Movement>> {
        let mut client = Client::of(&self.reads);
        let (mut ledger, mut cursor) = (vec![], String::new());
        loop {
            let path = format!("/v1/inventory/{sku}/movements?limit={PAGE}{cursor}");
            let page: Page<Movement> = read(&mut client, get(&path)?.by(&self.staff)).await?;
            ledger.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(ledger),
            }
        }
    }

    /// The shop's currency, which stands in every price. A shop that has no item yet tells it by
    /// its settings, and these are the default's.
    async fn currency(&self) -> Result<String> {
        let mut client = Client::of(&self.reads);
        let page: Page<Item> = read(&mut client, get("/v1/inventory?limit=1")?).await?;
        Ok(page
            .items
            .first()
            .map_or_else(|| "EUR".to_owned(), |item| item.price.currency.clone()))
    }
}

/// One unit of an item, as the body of an order.
pub(crate) fn one_unit(sku: &str) -> Bytes {
    Bytes::from(json!({"lines": [{"sku": sku, "quantity": 1}]}).to_string())
}

/// An order with this body, in a buyer's name, under a key of its own.
pub(crate) fn order_call(body: &Bytes, buyer: &Bearer) -> Call {
    Call::prepared(Method::POST, Uri::from_static("/v1/orders"), body.clone())
        .by(buyer)
        .under_new_key()
}

/// A question about this path.
///
/// # Errors
/// When it is no path.
pub(crate) fn get(path: &str) -> Result<Call> {
    Ok(Call::get(uri(path)?))
}

async fn log_in(writes: &Target, email: &str, password: &str) -> Result<Bearer> {
    let body = json!({"email": email, "password": password});
    let call = Call::json(Method::POST, uri("/v1/sessions")?, &body);
    let mut client = Client::of(writes);
    // A server that is not there is told at once; only one that was there is waited for.
    client.connect().await?;
    let answer = expect(&mut client, call, StatusCode::CREATED).await?;
    let pair: TokenPair = serde_json::from_slice(&answer.body)?;
    Bearer::new(&pair.access_token)
}

async fn read<T: DeserializeOwned>(client: &mut Client, call: Call) -> Result<T> {
    let answer = expect(client, call, StatusCode::OK).await?;
    serde_json::from_slice(&answer.body).context("an answer is not of the documented form")
}

async fn expect(client: &mut Client, call: Call, expected: StatusCode) -> Result<Answer> {
    let answer = client.send(&call).await.answer?;
    if answer.status == expected {
        return Ok(answer);
    }
    bail!("{}", unexpected(&call, &answer))
}

fn unexpected(call: &Call, answer: &Answer) -> String {
    let said = String::from_utf8_lossy(&answer.body);
    format!(
        "{} {} was answered {}: {said}",
        call.method,
        call.uri.path(),
        answer.status
    )
}

fn uri(path: &str) -> Result<Uri> {
    path.parse().with_context(|| format!("{path} is no path"))
}
