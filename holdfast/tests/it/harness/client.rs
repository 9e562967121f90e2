//! A client as it should be written: one key per intention, the same one again when in doubt. On a
//! busy machine there is doubt at any time, so whoever wants to hear a 503 sends a call once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{in_time, turns};

/// Where the processes listen; shared by all clients of a system, so that they follow a restart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Api(Arc<Mutex<Addresses>>, Arc<AtomicUsize>);

#[derive(Debug, Default)]
struct Addresses {
    writes: Vec<String>,
    reads: String,
}

impl Api {
    pub(crate) fn set(&self, writes: Vec<String>, reads: String) {
        *self.0.lock().unwrap() = Addresses { writes, reads };
    }

    /// How many writes were sent so far.
    pub(crate) fn writes_sent(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }

    /// As a proxy routes: by method, and writes to one node after the other.
    fn url(&self, method: &Method, path: &str) -> String {
        let addresses = self.0.lock().unwrap();
        if *method == Method::GET {
            return format!("{}{path}", addresses.reads);
        }
        let turn = self.1.fetch_add(1, Ordering::Relaxed);
        format!("{}{path}", addresses.writes[turn % addresses.writes.len()])
    }
}

/// Somebody who uses the shop, with a token or without.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    api: Api,
    http: reqwest::Client,
    token: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The `Consistency-Token`, or nothing.
    pub(crate) token: String,
    pub(crate) replayed: bool,
    pub(crate) retry_after: Option<String>,
}

impl Answer {
    /// Fails where the status is another one.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails where this is not the problem.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.code(), code, "{answer:?}");
        answer
    }

    /// The code of a problem.
    pub(crate) fn code(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or_default();
        kind.rsplit(['/', ':', '#']).next().unwrap_or_default()
    }

    /// The id of what was made.
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn number(&self, field: &str) -> i64 {
        self.body[field]
            .as_i64()
            .unwrap_or_else(|| panic!("{field}: {self:?}"))
    }
}

/// A key that nobody has used.
pub(crate) fn fresh_key() -> String {
    Uuid::new_v4().to_string()
}

fn http(timeout: Duration) -> reqwest::Client {
    let http = reqwest::Client::builder().timeout(timeout);
    http.build().unwrap()
}

impl Client {
    pub(crate) fn new(api: Api) -> Self {
        Self {
            api,
            http: http(Duration::from_secs(120)),
            token: None,
        }
    }

    /// The same person, who hangs up after a second and asks again.
    pub(crate) fn impatient(&self) -> Self {
        Self {
            http: http(Duration::from_secs(1)),
            ..self.clone()
        }
    }

    /// Registers; without a key, it may find an earlier attempt of its own, whose outcome was
    /// unknown.
    pub(crate) async fn register(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password, "name": "Kim"});
        self.send_until_known(|client| client.call(Method::POST, "/v1/users").json(&body))
            .await
    }

    /// Somebody new, with an address that nobody else takes.
    pub(crate) async fn joins(&self, email: &str, password: &str) -> Self {
        let registered = self.register(email, password).await;
        let is_theirs = registered.status == 201 || registered.code() == "email-taken";
        assert!(is_theirs, "{registered:?}");
        self.log_in(email, password).await
    }

    /// The same person, known.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Self {
        let body = json!({"email": email, "password": password});
        let session = self
            .send_until_known(|client| client.call(Method::POST, "/v1/sessions").json(&body))
            .await
            .is(201);
        let token = session.body["access_token"].as_str().unwrap().to_owned();
        Self {
            token: Some(token),
            ..self.clone()
        }
    }

    /// The same person at another place.
    pub(crate) fn moved_to(&self, api: &Api) -> Self {
        Self {
            api: api.clone(),
            ..self.clone()
        }
    }

    /// What each node of the write side says of its epoch, where one is open.
    pub(crate) async fn open_epochs(&self) -> Vec<Option<String>> {
        let nodes = self.api.0.lock().unwrap().writes.clone();
        let said = nodes.iter().map(async |node| {
            let call = self.call_at(Method::GET, &format!("{node}/readyz"));
            let answer = self.try_send(call).await?;
            let parts = answer.body["parts"].as_array()?;
            let epoch = parts.iter().find(|part| part["name"] == "epoch")?;
            let said = epoch["detail"].as_str()?;
            said.ends_with(" is open").then(|| said.to_owned())
        });
        join_all(said).await
    }

    /// The header that carries the token.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token.as_ref().expect("somebody known"))
    }

    /// A call to the node whose turn it is.
    pub(crate) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.api.url(&method, path);
        self.call_at(method, &url)
    }

    /// A call to this URL.
    pub(crate) fn call_at(&self, method: Method, url: &str) -> RequestBuilder {
        let call = self.http.request(method, url);
        match &self.token {
            Some(token) => call.bearer_auth(token),
            None => call,
        }
    }

    /// Sends a call; `None` where no answer came.
    pub(crate) async fn try_send(&self, call: RequestBuilder) -> Option<Answer> {
        let answer = call.send().await.ok()?;
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let (token, replayed) = (header("consistency-token"), header("idempotent-replayed"));
        let retry_after = header("retry-after");
        let status = answer.status().as_u16();
        let body = answer.bytes().await.ok()?;
        Some(Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            token: token.unwrap_or_default(),
            replayed: replayed.as_deref() == Some("true"),
            retry_after,
        })
    }

    /// Sends a call that must be answered.
    pub(crate) async fn send(&self, call: RequestBuilder) -> Answer {
        self.try_send(call).await.expect("an answer")
    }

    /// Sends a call again, a write with the same key, until its outcome is known.
    pub(crate) async fn send_until_known(&self, call: impl Fn(&Self) -> RequestBuilder) -> Answer {
        let trying = async {
            let mut turns = turns();
            loop {
                turns.tick().await;
                let answer = self.try_send(call(self)).await;
                if let Some(known) = answer.filter(|answer| answer.status != 503) {
                    return known;
                }
            }
        };
        in_time("the outcome is known", trying).await
    }

    /// Makes an item with this much on stock.
    pub(crate) async fn stock(&self, sku: &str, quantity: u32) {
        let item = json!({"name": "Lamp", "price": {"amount": 1999, "currency": "EUR"}});
        let (path, key) = (format!("/v1/inventory/{sku}"), fresh_key());
        let put = self.send_until_known(|client| {
            client
                .call(Method::PUT, &path)
                .header("Idempotency-Key", &key)
                .json(&item)
        });
        put.await.is(201);
        self.receive(sku, quantity).await.is(201);
    }

    pub(crate) async fn receive(&self, sku: &str, quantity: u32) -> Answer {
        let (body, key) = (
            json!({"quantity": quantity, "reason": "received"}),
            fresh_key(),
        );
        let path = format!("/v1/inventory/{sku}/movements");
        self.send_until_known(|client| {
            client
                .call(Method::POST, &path)
                .header("Idempotency-Key", &key)
                .json(&body)
        })
        .await
    }

    /// The call that orders one SKU.
    pub(crate) fn order_call(&self, key: &str, sku: &str, quantity: u32) -> RequestBuilder {
        let body = json!({"lines": [{"sku": sku, "quantity": quantity}]});
        self.call(Method::POST, "/v1/orders")
            .header("Idempotency-Key", key)
            .json(&body)
    }

    /// Orders with a key that nobody has used.
    pub(crate) async fn order(&self, sku: &str, quantity: u32) -> Answer {
        self.order_until_known(&fresh_key(), sku, quantity).await
    }

    /// Sends an order once, with a key that nobody has used; a 503 is an answer.
    pub(crate) async fn order_once(&self, sku: &str, quantity: u32) -> Answer {
        let call = self.order_call(&fresh_key(), sku, quantity);
        self.send(call).await
    }

    /// Orders until the outcome is known.
    pub(crate) async fn order_until_known(&self, key: &str, sku: &str, quantity: u32) -> Answer {
        self.send_until_known(|client| client.order_call(key, sku, quantity))
            .await
    }

    pub(crate) async fn cancel(&self, order: &str) -> Answer {
        let (path, key) = (format!("/v1/orders/{order}/cancellation"), fresh_key());
        self.send_until_known(|client| {
            client
                .call(Method::POST, &path)
                .header("Idempotency-Key", &key)
        })
        .await
    }

    /// Reads as of a write's `Consistency-Token`, as soon as the read models are there; an empty one
    /// asks for whatever is there.
    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send_until_known(|client| client.get_call(path, token))
            .await
    }

    /// The same once: a 503 is an answer.
    pub(crate) async fn get_once(&self, path: &str, token: &str) -> Answer {
        self.send(self.get_call(path, token)).await
    }

    fn get_call(&self, path: &str, token: &str) -> RequestBuilder {
        let call = self.call(Method::GET, path).header("Prefer", "wait=10");
        if token.is_empty() {
            call
        } else {
            call.header("Consistency-Token", token)
        }
    }

    /// Every item of a list, page by page.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (vec![], String::new());
        loop {
            let page = format!("{path}?limit=200{cursor}");
            let page = self.get(&page, "").await.is(200);
            all.extend(page.body["items"].as_array().unwrap().iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// The ids of all orders in the read models that this client may see, in order.
    pub(crate) async fn all_orders(&self) -> Vec<String> {
        let orders = self.list("/v1/orders").await;
        let ids = orders.iter().map(|order| order["id"].as_str().unwrap());
        let mut ids: Vec<_> = ids.map(str::to_owned).collect();
        ids.sort_unstable();
        ids
    }

    /// What the gate has left of a SKU: the figure in its refusal of more than there can be.
    pub(crate) async fn left_in_gate(&self, sku: &str) -> i64 {
        let refused = self.order_until_known(&fresh_key(), sku, 1_000_000).await;
        refused.problem(409, "out-of-stock").number("available")
    }
}
