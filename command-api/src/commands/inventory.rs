//! The catalogue and the supply of stock.

use std::sync::Arc;

use domain::inventory::{
    ExistingItem, InventoryCommand, InventoryEvent, InventoryItem, InventoryRefusal, ItemStatus,
    MovementReason, Terms,
};
use domain::money::Money;
use domain::quantity::SignedQuantity;
use domain::sku::Sku;
use domain::text::{Category, Name, Note};
use domain::time::Time;
use record::{AggregateType, Events};

use crate::commands::{Commands, Outcome, read_snapshot, snapshot};
use crate::commit::{CommitError, Committed, Decided, Handler, Loaded, Needs, Request, Undecided};
use crate::gate::{AggregateKey, Figures, Look, Looked, Refusal};

/// An item as a command left it, with its figures as the gate knows them at the moment of the
/// answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemNow {
    /// What the catalogue says.
    pub item: ExistingItem,
    /// What is available and supplied.
    pub figures: Figures,
    /// Whether the command created it.
    pub created: bool,
}

struct PutItem {
    command: InventoryCommand,
    sku: Sku,
}

struct MoveStock {
    sku: Sku,
    quantity: SignedQuantity,
    reason: MovementReason,
    reference: Option<Note>,
}

struct SetStock {
    sku: Sku,
    available: i64,
    expected: i64,
}

struct Discontinue {
    sku: Sku,
}

impl Commands {
    /// Creates an item or changes what the catalogue says of it.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn put_item(
        &self,
        request: Request,
        sku: Sku,
        name: Name,
        price: Money,
        category: Option<Category>,
    ) -> Result<Outcome<ItemNow>, CommitError> {
        let command = InventoryCommand::Put {
            sku: sku.clone(),
            name: name.clone(),
            price,
            category: category.clone(),
        };
        let handler = PutItem {
            command,
            sku: sku.clone(),
        };
        let committed = self.committer.commit(request, handler).await?;
        let mut outcome = self.item_now(sku, committed).await?;
        // What this command said, whatever others say by now: theirs may not stand in the log yet,
        // and a replay answers as the first answer did.
        let item = &mut outcome.value.item;
        item.terms = Terms {
            name,
            price,
            status: ItemStatus::Active,
        };
        item.category = category;
        Ok(outcome)
    }

    /// Moves units in or out.
    ///
    /// # Errors
    /// See [`CommitError`]; [`Refusal::OutOfStock`] where it would take more than is available.
    pub async fn move_stock(
        &self,
        request: Request,
        sku: Sku,
        quantity: SignedQuantity,
        reason: MovementReason,
        reference: Option<Note>,
    ) -> Result<Outcome<ItemNow>, CommitError> {
        let handler = MoveStock {
            sku: sku.clone(),
            quantity,
            reason,
            reference,
        };
        let committed = self.committer.commit(request, handler).await?;
        self.item_now(sku, committed).await
    }

    /// Sets what is available, if it is what was expected.
    ///
    /// # Errors
    /// See [`CommitError`]; [`Refusal::StockChanged`] with the true figure.
    pub async fn set_stock(
        &self,
        request: Request,
        sku: Sku,
        available: i64,
        expected: i64,
    ) -> Result<Outcome<ItemNow>, CommitError> {
        let handler = SetStock {
            sku: sku.clone(),
            available,
            expected,
        };
        let committed = self.committer.commit(request, handler).await?;
        self.item_now(sku, committed).await
    }

    /// Takes no more orders of an item.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn discontinue(
        &self,
        request: Request,
        sku: Sku,
    ) -> Result<Outcome<()>, CommitError> {
        let committed = self.committer.commit(request, Discontinue { sku }).await?;
        Ok(Outcome {
            value: (),
            replayed: committed.replayed,
            position: committed.position,
        })
    }

    /// The item after a committed command: its terms as orders take them (others may be changing them
    /// in records that do not stand in the log yet), its category as decided, and the figures as they
    /// are now. The command took effect, so a failure here is an unknown outcome.
    async fn item_now(
        &self,
        sku: Sku,
        committed: Committed,
    ) -> Result<Outcome<ItemNow>, CommitError> {
        let epoch = self
            .committer
            .keeper
            .open()
            .await
            .map_err(CommitError::OutcomeUnknown)?;
        let unreadable = || CommitError::OutcomeUnknown("the item cannot be read now".to_owned());
        let aggregate = self
            .committer
            .look(&epoch, Look::Aggregate(key(&sku)))
            .await;
        let Ok(Looked::Aggregate(aggregate)) = aggregate else {
            return Err(unreadable());
        };
        let item: InventoryItem =
            serde_json::from_str(&aggregate.snapshot).map_err(|_| unreadable())?;
        let mut item = item.existing.ok_or_else(unreadable)?;
        let figures = match self.committer.look(&epoch, Look::Item(sku)).await {
            Ok(Looked::Item(value)) => {
                item.terms = value.terms;
                Figures {
                    available: value.available,
                    supplied: value.supplied,
                }
            }
            // It was created just now and is not settled yet.
            Ok(_) => Figures {
                available: 0,
                supplied: 0,
            },
            Err(_) => return Err(unreadable()),
        };
        let value = ItemNow {
            item,
            figures,
            created: creates(&committed.record.body.events),
        };
        Ok(Outcome {
            value,
            replayed: committed.replayed,
            position: committed.position,
        })
    }
}

fn creates(events: &Events) -> bool {
    let Events::Inventory(events) = events else {
        return false;
    };
    events
        .iter()
        .any(|event| matches!(event, InventoryEvent::ItemCreated { .. }))
}

fn key(sku: &Sku) -> AggregateKey {
    AggregateKey {
        kind: AggregateType::Inventory,
        id: Arc::from(sku.as_str()),
    }
}

fn refusal(refusal: InventoryRefusal) -> Refusal {
    match refusal {
        InventoryRefusal::NotFound => Refusal::NotFound,
    }
}

/// Decides on a loaded item.
fn on_state(loaded: &Loaded, command: &InventoryCommand) -> Result<Decided, Undecided> {
    let mut item: InventoryItem = read_snapshot(loaded)?;
    let events = item.decide(command).map_err(refusal)?;
    events.iter().for_each(|event| item.apply_event(event));
    let discontinues = events
        .iter()
        .any(|e| matches!(e, InventoryEvent::ItemDiscontinued));
    let discontinued = match &item.existing {
        Some(existing) if discontinues => Some(existing.terms.clone()),
        _ => None,
    };
    Ok(Decided {
        events: Events::Inventory(events),
        snapshot: Some(snapshot(&item)),
        claims: vec![],
        available: None,
        discontinued,
    })
}

/// Decides what is true of every item that exists; the gate refuses where it does not.
fn on_any_state(event: Option<InventoryEvent>, available: Option<i64>) -> Decided {
    Decided {
        events: Events::Inventory(event.into_iter().collect()),
        snapshot: None,
        claims: vec![],
        available,
        discontinued: None,
    }
}

impl Handler for PutItem {
    fn aggregate(&self) -> AggregateKey {
        key(&self.sku)
    }

    fn needs(&self) -> Needs {
        Needs::State
    }

    fn decide(&self, loaded: &Loaded, _now: Time) -> Result<Decided, Undecided> {
        on_state(loaded, &self.command)
    }
}

impl Handler for Discontinue {
    fn aggregate(&self) -> AggregateKey {
        key(&self.sku)
    }

    fn needs(&self) -> Needs {
        Needs::State
    }

    fn decide(&self, loaded: &Loaded, _now: Time) -> Result<Decided, Undecided> {
        on_state(loaded, &InventoryCommand::Discontinue)
    }
}

impl Handler for MoveStock {
    fn aggregate(&self) -> AggregateKey {
        key(&self.sku)
    }

    fn needs(&self) -> Needs {
        Needs::NextVersion
    }

    fn decide(&self, _loaded: &Loaded, _now: Time) -> Result<Decided, Undecided> {
        let event = InventoryEvent::StockMoved {
            sku: self.sku.clone(),
            quantity: self.quantity.get(),
            reason: self.reason,
            reference: self.reference.clone(),
        };
        Ok(on_any_state(Some(event), None))
    }
}

impl Handler for SetStock {
    fn aggregate(&self) -> AggregateKey {
        key(&self.sku)
    }

    fn needs(&self) -> Needs {
        Needs::NextVersion
    }

    fn decide(&self, _loaded: &Loaded, _now: Time) -> Result<Decided, Undecided> {
        let difference = self.available - self.expected;
        let event = (difference != 0).then(|| InventoryEvent::StockMoved {
            sku: self.sku.clone(),
            quantity: difference,
            reason: MovementReason::Recount,
            reference: None,
        });
        Ok(on_any_state(event, Some(self.expected)))
    }
}
