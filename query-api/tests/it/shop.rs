//! A shop of its own for each test.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use contract::layers::{LayerSettings, around};
use contract::list::Page;
use contract::token::{Audience, now};
use contract::{ConsistencyTokens, TokenSigner, TokenVerifier};
use domain::email::Email;
use domain::ids::{OrderId, SessionId, UserId};
use domain::inventory::{InventoryEvent, MovementReason};
use domain::money::{Currency, Money};
use domain::order::{OrderEvent, OrderLine};
use domain::quantity::Quantity;
use domain::sku::Sku;
use domain::stock::StockMovement;
use domain::text::{Category, Name, Note};
use domain::time::Time;
use domain::user::{Role, UserEvent};
use event_log::sqlite::{SqliteLog, SqliteSettings};
use event_log::{Entry, EventLog};
use migrations::Database;
use personal_data::{Field, PersonalKey, Secrets};
use projectors::Projector;
use query_api::Api;
use query_api::read_model::ReadModels;
use record::{Actor, Body, Envelope, Events, Partition, Position, Record, RecordId};
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::client::{Answer, request, send};

/// The moment at which everything happens, so that lists must tell rows of one instant apart.
pub(crate) const NOON: i64 = 1_700_000_000_123_450;

pub(crate) struct Shop {
    _folder: TempDir,
    log: Arc<dyn EventLog>,
    projector: Mutex<Projector>,
    secrets: Secrets,
    signer: TokenSigner,
    router: Router,
    log_id: Uuid,
}

impl Shop {
    /// A shop without anything in it, whose projectors have not run yet.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(folder.path(), SqliteSettings::default()).unwrap();
        let log: Arc<dyn EventLog> = Arc::new(log);
        let file = folder.path().join("read-models.sqlite");
        let database = Database::sqlite_writer(&file);
        migrations::schema::run(&database).await.unwrap();
        let mut partitions = log.layout().partitions_of_record();
        partitions.push(Partition::USER_KEYS);
        let log_id = Uuid::new_v4();
        let written = projectors::ReadModels::new(database);
        let projector = Projector::new(log.clone(), written, log_id, partitions);

        let secrets = Secrets::generate();
        let audience = Audience::default();
        let signer = TokenSigner::from_pem(&TokenSigner::generate_pem(), audience.clone()).unwrap();
        let verifier = TokenVerifier::with_keys(&audience, [signer.public_key().clone()]);
        let api = Api::new(ReadModels::sqlite(&file, 2), verifier, secrets.clone());
        let (router, _) = api.routes().split_for_parts();
        Self {
            _folder: folder,
            log,
            projector: Mutex::new(projector),
            secrets,
            signer,
            router: around(router, LayerSettings::default()),
            log_id,
        }
    }

    /// Takes everything written so far into the rows.
    pub(crate) async fn catch_up(&self) {
        self.projector
            .lock()
            .await
            .run_until_caught_up()
            .await
            .unwrap();
    }

    /// Writes a record that the rows do not have yet.
    pub(crate) async fn write(
        &self,
        id: &str,
        version: u64,
        events: Events,
        actor: Actor,
    ) -> Position {
        let aggregate_type = events.aggregate_type();
        let envelope = Envelope {
            format: record::envelope::FORMAT,
            id: RecordId(Uuid::now_v7()),
            epoch: 1,
            aggregate_type,
            aggregate_id: id.to_owned(),
            version,
        };
        let body = Body {
            events,
            actor,
            key: None,
            correlation_id: Uuid::nil(),
            causation_id: None,
            traceparent: None,
            time: Time::from_microseconds(NOON),
        };
        let id = envelope.id;
        let key = envelope.aggregate_id.clone();
        let partition = self
            .log
            .layout()
            .partition_of(aggregate_type.topic().unwrap(), &key);
        let payload = Some(Bytes::from(Record { envelope, body }.encode()));
        let entry = Entry {
            partition,
            key,
            payload,
            id,
        };
        let offset = self.log.append_one(entry).await.unwrap().unwrap();
        Position { partition, offset }
    }

    pub(crate) async fn register(&self, number: u128, email: &str, role: Role) -> UserId {
        let id = UserId(Uuid::from_u128(number));
        let key = PersonalKey::generate();
        let entry = Entry {
            partition: Partition::USER_KEYS,
            key: key.id().to_string(),
            payload: Some(Bytes::from(self.secrets.wrap_key(&key).as_str().to_owned())),
            id: RecordId(Uuid::now_v7()),
        };
        self.log.append_one(entry).await.unwrap();
        let email = Email::parse(email).unwrap();
        let registered = UserEvent::UserRegistered {
            id,
            email_hash: self.secrets.email_hash(&email),
            key_id: key.id(),
            email: key.seal(Field::Email, email.as_str()),
            name: key.seal(Field::Name, "Kim Ümlaut"),
            password_hash: key.seal(Field::PasswordHash, "$argon2id$…"),
            role,
            at: Time::from_microseconds(NOON),
        };
        self.write(
            &id.to_string(),
            1,
            Events::Users(vec![registered]),
            Actor::Operator,
        )
        .await;
        id
    }

    pub(crate) async fn create_item(&self, sku: &str, name: &str, category: Option<&str>) {
        let created = InventoryEvent::ItemCreated {
            sku: Sku::parse(sku).unwrap(),
            name: Name::parse(name).unwrap(),
            price: euros(1999),
            category: category.map(|text| Category::parse(text).unwrap()),
        };
        self.write(sku, 1, Events::Inventory(vec![created]), Actor::Operator)
            .await;
    }

    pub(crate) async fn receive(&self, sku: &str, version: u64, quantity: i64) -> Position {
        let moved = InventoryEvent::StockMoved {
            sku: Sku::parse(sku).unwrap(),
            quantity,
            reason: MovementReason::Received,
            reference: Some(Note::parse("delivery 7").unwrap()),
        };
        self.write(
            sku,
            version,
            Events::Inventory(vec![moved]),
            Actor::Operator,
        )
        .await
    }

    pub(crate) async fn place(&self, number: u128, user: UserId, sku: &str, units: i64) -> OrderId {
        let id = OrderId(Uuid::from_u128(number));
        let quantity = Quantity::new(units).unwrap();
        let total = euros(1999).times(quantity).unwrap();
        let line = OrderLine {
            sku: Sku::parse(sku).unwrap(),
            name: Name::parse("Lamp").unwrap(),
            quantity,
            unit_price: euros(1999),
            total,
        };
        let placed = OrderEvent::OrderPlaced {
            id,
            user_id: user,
            lines: vec![line],
            total,
            at: Time::from_microseconds(NOON),
        };
        let actor = Actor::User {
            id: user,
            role: Role::Customer,
        };
        self.write(&id.to_string(), 1, Events::Orders(vec![placed]), actor)
            .await;
        id
    }

    pub(crate) async fn cancel(&self, order: OrderId, sku: &str, units: i64) {
        let cancelled = OrderEvent::OrderCancelled {
            returned: vec![StockMovement {
                sku: Sku::parse(sku).unwrap(),
                quantity: units,
            }],
            reason: Some(Note::parse("too late").unwrap()),
            at: Time::from_microseconds(NOON + 1),
        };
        let events = Events::Orders(vec![cancelled]);
        self.write(&order.to_string(), 2, events, Actor::Operator)
            .await;
    }

    /// The consistency token of these writes.
    pub(crate) fn token_of(&self, positions: impl IntoIterator<Item = Position>) -> String {
        let key = self.secrets.opaque_token_key().clone();
        ConsistencyTokens::new(key, self.log_id).issue(positions)
    }

    /// `Authorization` of a user.
    pub(crate) fn bearer(&self, user: UserId, role: Role) -> String {
        let session = SessionId(Uuid::from_u128(9));
        format!("Bearer {}", self.signer.sign(user, role, session, now()))
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        send(&self.router, request(method, path, headers)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    pub(crate) async fn get_as(&self, user: UserId, role: Role, path: &str) -> Answer {
        self.ask("GET", path, &[("authorization", &self.bearer(user, role))])
            .await
    }

    /// The `member` of every row of a list, read page by page.
    pub(crate) async fn whole_list(
        &self,
        path: &str,
        authorization: &str,
        limit: u16,
        member: &str,
    ) -> Vec<String> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{path}?limit={limit}{cursor}");
            let answer = self
                .ask("GET", &path, &[("authorization", authorization)])
                .await;
            let page: Page<serde_json::Value> = serde_json::from_str(&answer.text).unwrap();
            assert!(page.items.len() <= usize::from(limit));
            rows.extend(
                page.items
                    .iter()
                    .map(|row| row[member].as_str().unwrap().to_owned()),
            );
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }
}

fn euros(amount: i64) -> Money {
    Money::price(amount, Currency::parse("EUR").unwrap()).unwrap()
}
