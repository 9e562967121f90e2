//! A shop behind its router, and a client that talks to it as the world does.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use command_api::clock::{Clock, RandomIds, SystemClock};
use command_api::commands::Commands;
use command_api::commands::passwords::Passwords;
use command_api::commands::users::Personal;
use command_api::commit::Committer;
use command_api::gate::memory::MemoryGate;
use command_api::http::{Api, HttpSettings, routes};
use command_api::settings::Settings;
use contract::layers::{LayerSettings, around};
use contract::token::{Audience, TokenSigner, TokenVerifier};
use domain::ids::{SessionId, UserId};
use domain::money::Currency;
use domain::time::Time;
use domain::user::Role;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use http_body_util::BodyExt as _;
use personal_data::Secrets;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::commit::PATIENCE;

/// A clock that stands still until a test moves it, so that no limit depends on how fast the
/// machine is.
#[derive(Debug)]
pub(crate) struct StillClock(AtomicI64);

impl StillClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(SystemClock.now().microseconds())))
    }
}

impl Clock for StillClock {
    fn now(&self) -> Time {
        Time::from_microseconds(self.0.load(Ordering::Relaxed))
    }
}

/// A shop without a network. Dropping it is like killing it.
pub(crate) struct Shop {
    pub(crate) signer: TokenSigner,
    pub(crate) clock: Arc<StillClock>,
    pub(crate) router: Router,
    pub(crate) document: utoipa::openapi::OpenApi,
    _directory: Option<tempfile::TempDir>,
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::with(HttpSettings::default())
    }

    pub(crate) fn with(settings: HttpSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Arc::new(Secrets::generate());
        let shop = Self::over(directory.path(), &secrets, settings);
        Self {
            _directory: Some(directory),
            ..shop
        }
    }

    pub(crate) fn over(directory: &Path, secrets: &Arc<Secrets>, settings: HttpSettings) -> Self {
        let log = Arc::new(SqliteLog::open(directory, SqliteSettings::default()).unwrap());
        let clock = StillClock::new();
        let currency = Currency::parse("EUR").unwrap();
        let patient = Settings {
            outcome_deadline: PATIENCE,
            settle_wait: PATIENCE,
            recovery_wait: PATIENCE,
            ..Settings::new(currency, secrets.check_value())
        };
        let committer = Committer::new(
            Arc::new(MemoryGate::new(1000)),
            log,
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(RandomIds),
            patient,
        );
        let personal = Personal {
            secrets: Arc::clone(secrets),
            passwords: Passwords::new(4, 1000),
        };
        let commands = Commands::new(committer, personal);
        let signer = signer();
        let keys = [signer.public_key().clone()];
        let verifier = TokenVerifier::with_keys(&Audience::default(), keys);
        let api = Api::new(commands, signer.clone(), verifier.clone(), settings);
        let writes = routes(api).merge(contract::session::routes(verifier));
        let (router, document) = writes.split_for_parts();
        Self {
            signer,
            clock,
            router: around(router, LayerSettings::default()),
            document,
            _directory: None,
        }
    }

    pub(crate) fn wait(&self, time: Duration) {
        let microseconds = i64::try_from(time.as_micros()).unwrap();
        self.clock.0.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// A token of somebody with this role, who need not have registered.
    pub(crate) fn token(&self, role: Role) -> String {
        self.token_of(UserId(Uuid::now_v7()), role)
    }

    pub(crate) fn token_of(&self, user: UserId, role: Role) -> String {
        let session = SessionId(Uuid::now_v7());
        self.signer.sign(user, role, session, SystemClock.now())
    }

    pub(crate) fn call<'a>(&'a self, method: &'a str, path: &str) -> Call<'a> {
        Call {
            shop: self,
            request: Request::builder().method(method).uri(path),
            body: Body::empty(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    pub(crate) fn put(&self, path: &str) -> Call<'_> {
        self.call("PUT", path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'_> {
        self.call("DELETE", path)
    }

    /// An item at 19.99 with so many units.
    pub(crate) async fn stock(&self, sku: &str, units: i64) {
        let staff = self.token(Role::Staff);
        let item = json!({"name": "Lamp", "price": {"amount": 1999, "currency": "EUR"}});
        let put = self.put(&format!("/v1/inventory/{sku}"));
        put.bearer(&staff).json(&item).send().await.is(201);
        let movements = format!("/v1/inventory/{sku}/movements");
        let received = json!({"quantity": units, "reason": "received"});
        let moved = self.post(&movements).bearer(&staff).key(&fresh_key());
        moved.json(&received).send().await.is(201);
    }

    /// Orders of one SKU.
    pub(crate) async fn order(&self, token: &str, sku: &str, units: i64) -> Answer {
        let order = json!({"lines": [{"sku": sku, "quantity": units}]});
        let call = self.post("/v1/orders").bearer(token).key(&fresh_key());
        call.json(&order).send().await
    }

    pub(crate) async fn register(&self, email: &str, password: &str) -> Answer {
        let user = json!({"email": email, "password": password, "name": "Kim"});
        self.post("/v1/users").json(&user).send().await
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password});
        self.post("/v1/sessions").json(&body).send().await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        let body = json!({"refresh_token": token});
        self.post("/v1/sessions/refresh").json(&body).send().await
    }
}

pub(crate) fn signer() -> TokenSigner {
    TokenSigner::from_pem(&TokenSigner::generate_pem(), Audience::default()).unwrap()
}

pub(crate) fn fresh_key() -> String {
    Uuid::now_v7().to_string()
}

/// A request that is being put together.
pub(crate) struct Call<'a> {
    shop: &'a Shop,
    request: axum::http::request::Builder,
    body: Body,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn peer(mut self, peer: &str) -> Self {
        let peer: IpAddr = peer.parse().unwrap();
        let info = ConnectInfo(SocketAddr::new(peer, 4711));
        self.request = self.request.extension(info);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text("application/json", &body.to_string())
    }

    pub(crate) fn text(self, content_type: &str, body: &str) -> Self {
        self.bytes(content_type, body.as_bytes().to_vec())
    }

    pub(crate) fn bytes(self, content_type: &str, body: Vec<u8>) -> Self {
        let mut call = self.header("content-type", content_type);
        call.body = Body::from(body);
        call
    }

    pub(crate) async fn send(self) -> Answer {
        let request = self.request.body(self.body).unwrap();
        let response = self.shop.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            text,
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Checks the status; an answer of success to a write names where the write stands.
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    /// Checks that it is this problem.
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.code(), code, "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn str(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.str("type");
        problem.rsplit('/').next().unwrap().to_owned()
    }

    /// The JSON pointer of a problem's first error.
    pub(crate) fn pointer(&self) -> String {
        let errors = &self.json()["errors"];
        errors[0]["pointer"].as_str().unwrap().to_owned()
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }
}
