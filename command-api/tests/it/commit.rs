//! The commit path over the memory gate and the SQLite log.

use std::sync::Arc;
use std::time::Duration;

use command_api::clock::{Clock, RandomIds, SystemClock};
use command_api::commands::passwords::Passwords;
use command_api::commands::users::Personal;
use command_api::commands::{Commands, Outcome};
use command_api::commit::{CommitError, Committer, Request};
use command_api::epoch::EpochState;
use command_api::gate::memory::MemoryGate;
use command_api::gate::{Gate, Refusal};
use command_api::settings::Settings;
use domain::ids::UserId;
use domain::inventory::MovementReason;
use domain::money::{Currency, Money};
use domain::order::{ExistingOrder, OrderStatus, RequestedLine};
use domain::quantity::{Quantity, SignedQuantity};
use domain::sku::Sku;
use domain::text::Name;
use domain::user::Role;
use event_log::EventLog;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use personal_data::Secrets;
use record::{Actor, RecordedKey};
use uuid::Uuid;

/// How long a command may take. Generous, for it is only waited out where a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// A node over a log in a directory; dropping it is like killing it.
pub(crate) struct Node {
    pub(crate) commands: Commands,
}

impl Node {
    fn start(directory: &std::path::Path, secrets: &Arc<Secrets>) -> Self {
        let log = SqliteLog::open(directory, SqliteSettings::default()).unwrap();
        Self::over(Arc::new(MemoryGate::new(1000)), Arc::new(log), secrets)
    }

    pub(crate) fn over(
        gate: Arc<dyn Gate>,
        log: Arc<dyn EventLog>,
        secrets: &Arc<Secrets>,
    ) -> Self {
        Self::tuned(gate, log, secrets, Arc::new(SystemClock), |_| ())
    }

    pub(crate) fn tuned(
        gate: Arc<dyn Gate>,
        log: Arc<dyn EventLog>,
        secrets: &Arc<Secrets>,
        clock: Arc<dyn Clock>,
        tune: impl FnOnce(&mut Settings),
    ) -> Self {
        let currency = Currency::parse("EUR").unwrap();
        let mut settings = Settings::new(currency, secrets.check_value());
        settings.outcome_deadline = PATIENCE;
        settings.settle_wait = PATIENCE;
        tune(&mut settings);
        let committer = Committer::new(gate, log, clock, Arc::new(RandomIds), settings);
        let passwords = Passwords::new(2, 100);
        let personal = Personal {
            secrets: Arc::clone(secrets),
            passwords,
        };
        Self {
            commands: Commands::new(committer, personal),
        }
    }

    pub(crate) async fn stock(&self, name: &str, units: i64) {
        let price = Money::price(1999, Currency::parse("EUR").unwrap()).unwrap();
        let name_of = Name::parse("Lamp").unwrap();
        // A command waits for the first epoch too, but not for long.
        let mut state = self.commands.committer().keeper().state();
        let open = |state: &EpochState| matches!(state, EpochState::Open(_));
        state.wait_for(open).await.unwrap();
        self.commands
            .put_item(request(None), sku(name), name_of, price, None)
            .await
            .unwrap();
        let units = SignedQuantity::new(units).unwrap();
        let received = MovementReason::Received;
        self.commands
            .move_stock(request(None), sku(name), units, received, None)
            .await
            .unwrap();
    }

    pub(crate) async fn order(
        &self,
        key: Option<&str>,
        lines: &[(&str, i64)],
    ) -> Result<Outcome<ExistingOrder>, CommitError> {
        let line = |(name, units): &(&str, i64)| RequestedLine {
            sku: sku(name),
            quantity: Quantity::new(*units).unwrap(),
        };
        let lines: Vec<_> = lines.iter().map(line).collect();
        let lines = domain::order::add_up(&lines).unwrap();
        self.commands.place_order(request(key), user(), lines).await
    }
}

pub(crate) fn sku(name: &str) -> Sku {
    Sku::parse(name).unwrap()
}

pub(crate) fn user() -> UserId {
    UserId(Uuid::from_u128(7))
}

pub(crate) fn request(key: Option<&str>) -> Request {
    Request {
        actor: Actor::User {
            id: user(),
            role: Role::Customer,
        },
        key: key.map(|key| RecordedKey {
            key: key.to_owned(),
            fingerprint: "f".to_owned(),
        }),
        correlation_id: Uuid::now_v7(),
        traceparent: None,
    }
}

pub(crate) fn refusal(result: Result<Outcome<ExistingOrder>, CommitError>) -> Refusal {
    match result {
        Err(CommitError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flash_sale_sells_exactly_its_stock() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &Arc::new(Secrets::generate()));
    node.stock("A", 5).await;
    let orders = (0..200).map(|_| node.order(None, &[("A", 1)]));
    let results = futures::future::join_all(orders).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    for result in results.into_iter().filter(Result::is_err) {
        let Refusal::OutOfStock {
            requested,
            available,
            ..
        } = refusal(result)
        else {
            panic!("another refusal")
        };
        assert_eq!((requested, available), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_orders_units_can_be_sold_again() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &Arc::new(Secrets::generate()));
    node.stock("A", 2).await;
    let order = node.order(None, &[("A", 1), ("A", 1)]).await.unwrap().value;
    assert_eq!(order.total.amount(), 3998);
    assert!(matches!(
        refusal(node.order(None, &[("A", 1)]).await),
        Refusal::OutOfStock { .. }
    ));
    let cancels = (0..10).map(|_| {
        node.commands
            .cancel_order(request(None), order.id, None, None)
    });
    let results = futures::future::join_all(cancels).await;
    let cancelled: Vec<_> = results.into_iter().filter_map(Result::ok).collect();
    assert_eq!(cancelled.len(), 1, "ten parallel cancels of one order");
    assert_eq!(cancelled[0].value.status, OrderStatus::Cancelled);
    assert!(node.order(None, &[("A", 2)]).await.is_ok());
    assert!(matches!(
        refusal(node.order(None, &[("A", 1)]).await),
        Refusal::OutOfStock { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_has_one_effect() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let node = Node::start(directory.path(), &secrets);
    node.stock("A", 10).await;
    let attempts = (0..20).map(|_| node.order(Some("k"), &[("A", 1)]));
    let results = futures::future::join_all(attempts).await;
    let orders: Vec<_> = results.into_iter().map(|result| result.unwrap()).collect();
    assert!(
        orders
            .iter()
            .all(|order| order.value.id == orders[0].value.id)
    );
    assert_eq!(orders.iter().filter(|order| !order.replayed).count(), 1);
    drop(node);
    // A new epoch knows the key from the log.
    let node = Node::start(directory.path(), &secrets);
    let again = node.order(Some("k"), &[("A", 1)]).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.value, orders[0].value);
    assert!(node.order(None, &[("A", 9)]).await.is_ok());
    assert!(matches!(
        refusal(node.order(None, &[("A", 1)]).await),
        Refusal::OutOfStock { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_or_discontinued_item_cannot_be_ordered() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &Arc::new(Secrets::generate()));
    assert_eq!(
        refusal(node.order(None, &[("A", 1)]).await),
        Refusal::UnknownSku { sku: sku("A") }
    );
    node.stock("A", 1).await;
    node.commands
        .discontinue(request(None), sku("A"))
        .await
        .unwrap();
    assert_eq!(
        refusal(node.order(None, &[("A", 1)]).await),
        Refusal::Discontinued { sku: sku("A") }
    );
}
