//! An inventory item: what the catalogue says of a SKU and what is supplied of it.
//!
//! How much is available is not known here. It depends on every order, so the gate decides it
//! (step 2 of the protocol); the item only says that units come or go.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::quantity::SignedQuantity;
use crate::sku::Sku;
use crate::stock::StockMovement;
use crate::text::{Category, Name, Note};

/// Whether an item can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// It can be ordered.
    Active,
    /// No new orders; what was ordered stays.
    Discontinued,
}

/// Why units came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovementReason {
    /// New supply.
    Received,
    /// A customer sent units back.
    Returned,
    /// Units broke.
    Damaged,
    /// Units cannot be found.
    Lost,
    /// The shelf was counted and differs.
    Recount,
}

/// What the catalogue says of an item. An order takes these, never what a client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Shown to people.
    pub name: Name,
    /// Of one unit.
    pub price: Money,
    /// Whether it can be ordered.
    pub status: ItemStatus,
}

/// An inventory item as its events made it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryItem {
    /// `None` until it is created.
    pub existing: Option<ExistingItem>,
}

/// An item that was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingItem {
    /// Its name.
    pub sku: Sku,
    /// What the catalogue says.
    pub terms: Terms,
    /// For filtering lists.
    pub category: Option<Category>,
}

/// What a client or the program wants of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryCommand {
    /// Create the item or change what the catalogue says; makes a discontinued one active again.
    Put {
        /// The item.
        sku: Sku,
        /// Its name.
        name: Name,
        /// Its price.
        price: Money,
        /// Its category.
        category: Option<Category>,
    },
    /// Move units in or out.
    Move {
        /// Units; the gate refuses to take more than is available.
        quantity: SignedQuantity,
        /// Why.
        reason: MovementReason,
        /// The client's own reference.
        reference: Option<Note>,
    },
    /// Set what is available to a figure (a compare-and-set; the gate compares): the movement of
    /// the difference, or nothing when there is none.
    SetAvailable {
        /// `available − expected`; 0 changes nothing.
        difference: i64,
    },
    /// Take no more orders.
    Discontinue,
}

/// What happened to an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum InventoryEvent {
    /// The item came into the catalogue, active and without stock.
    ItemCreated {
        /// Its SKU.
        sku: Sku,
        /// Its name.
        name: Name,
        /// Its price.
        price: Money,
        /// Its category.
        category: Option<Category>,
    },
    /// The catalogue says something else now; the item is active.
    ItemChanged {
        /// Its name from now on.
        name: Name,
        /// Its price from now on.
        price: Money,
        /// Its category from now on.
        category: Option<Category>,
    },
    /// Units came or went.
    StockMoved {
        /// The item.
        sku: Sku,
        /// Signed units. Not a [`SignedQuantity`]: setting the stock may differ by more.
        quantity: i64,
        /// Why.
        reason: MovementReason,
        /// The client's own reference.
        reference: Option<Note>,
    },
    /// No more orders are taken.
    ItemDiscontinued,
}

/// Why the domain refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryRefusal {
    /// The SKU is not in the catalogue.
    #[error("this item does not exist")]
    NotFound,
}

impl InventoryItem {
    /// Decides what a command does to this item.
    ///
    /// # Errors
    /// [`InventoryRefusal::NotFound`] for everything but `Put` on an item that was never created.
    pub fn decide(
        &self,
        command: &InventoryCommand,
    ) -> Result<Vec<InventoryEvent>, InventoryRefusal> {
        if let InventoryCommand::Put {
            sku,
            name,
            price,
            category,
        } = command
        {
            return Ok(self.put(sku, name, *price, category.as_ref()));
        }
        let item = self.existing.as_ref().ok_or(InventoryRefusal::NotFound)?;
        let moved = |quantity: i64, reason, reference: Option<&Note>| InventoryEvent::StockMoved {
            sku: item.sku.clone(),
            quantity,
            reason,
            reference: reference.cloned(),
        };
        Ok(match command {
            InventoryCommand::Put { .. } => unreachable!("answered above"),
            InventoryCommand::Move {
                quantity,
                reason,
                reference,
            } => {
                vec![moved(quantity.get(), *reason, reference.as_ref())]
            }
            InventoryCommand::SetAvailable { difference: 0 } => vec![],
            InventoryCommand::SetAvailable { difference } => {
                vec![moved(*difference, MovementReason::Recount, None)]
            }
            InventoryCommand::Discontinue => match item.terms.status {
                ItemStatus::Active => vec![InventoryEvent::ItemDiscontinued],
                ItemStatus::Discontinued => vec![],
            },
        })
    }

    fn put(
        &self,
        sku: &Sku,
        name: &Name,
        price: Money,
        category: Option<&Category>,
    ) -> Vec<InventoryEvent> {
        let (name, category) = (name.clone(), category.cloned());
        let Some(item) = &self.existing else {
            return vec![InventoryEvent::ItemCreated {
                sku: sku.clone(),
                name,
                price,
                category,
            }];
        };
        let terms = Terms {
            name,
            price,
            status: ItemStatus::Active,
        };
        if item.terms == terms && item.category == category {
            return vec![];
        }
        vec![InventoryEvent::ItemChanged {
            name: terms.name,
            price,
            category,
        }]
    }

    /// Takes in what happened.
    pub fn apply_event(&mut self, event: &InventoryEvent) {
        match event {
            InventoryEvent::ItemCreated {
                sku,
                name,
                price,
                category,
            } => {
                let terms = Terms {
                    name: name.clone(),
                    price: *price,
                    status: ItemStatus::Active,
                };
                let (sku, category) = (sku.clone(), category.clone());
                self.existing = Some(ExistingItem {
                    sku,
                    terms,
                    category,
                });
            }
            InventoryEvent::ItemChanged {
                name,
                price,
                category,
            } => {
                if let Some(item) = &mut self.existing {
                    item.terms = Terms {
                        name: name.clone(),
                        price: *price,
                        status: ItemStatus::Active,
                    };
                    item.category.clone_from(category);
                }
            }
            InventoryEvent::StockMoved { .. } => {}
            InventoryEvent::ItemDiscontinued => {
                if let Some(item) = &mut self.existing {
                    item.terms.status = ItemStatus::Discontinued;
                }
            }
        }
    }
}

/// What these events do to stock.
pub fn movements(events: &[InventoryEvent]) -> Vec<StockMovement> {
    crate::stock::sum_per_sku(events.iter().filter_map(|event| match event {
        InventoryEvent::StockMoved { sku, quantity, .. } => Some(StockMovement {
            sku: sku.clone(),
            quantity: *quantity,
        }),
        _ => None,
    }))
}

impl DomainEvent for InventoryEvent {
    fn event_type(&self) -> String {
        match self {
            Self::ItemCreated { .. } => "item-created",
            Self::ItemChanged { .. } => "item-changed",
            Self::StockMoved { .. } => "stock-moved",
            Self::ItemDiscontinued => "item-discontinued",
        }
        .to_owned()
    }
    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for InventoryItem {
    const TYPE: &'static str = "inventory";
    type Command = InventoryCommand;
    type Event = InventoryEvent;
    type Error = InventoryRefusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        for event in self.decide(&command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        self.apply_event(&event);
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;
    use crate::money::Currency;

    type ItemTest = TestFramework<InventoryItem>;

    fn price(amount: i64) -> Money {
        Money::price(amount, Currency::parse("EUR").unwrap()).unwrap()
    }

    fn put(amount: i64) -> InventoryCommand {
        InventoryCommand::Put {
            sku: Sku::parse("A-1").unwrap(),
            name: Name::parse("Lamp").unwrap(),
            price: price(amount),
            category: None,
        }
    }

    fn created() -> InventoryEvent {
        InventoryEvent::ItemCreated {
            sku: Sku::parse("A-1").unwrap(),
            name: Name::parse("Lamp").unwrap(),
            price: price(100),
            category: None,
        }
    }

    fn changed(amount: i64) -> InventoryEvent {
        let name = Name::parse("Lamp").unwrap();
        InventoryEvent::ItemChanged {
            name,
            price: price(amount),
            category: None,
        }
    }

    #[test]
    fn putting_an_unknown_sku_creates_it() {
        ItemTest::with(())
            .given_no_previous_events()
            .when(put(100))
            .then_expect_events(vec![created()]);
    }

    #[test]
    fn putting_the_same_terms_again_changes_nothing() {
        ItemTest::with(())
            .given(vec![created()])
            .when(put(100))
            .then_expect_events(vec![]);
    }

    #[test]
    fn putting_another_price_changes_the_item() {
        ItemTest::with(())
            .given(vec![created()])
            .when(put(200))
            .then_expect_events(vec![changed(200)]);
    }

    #[test]
    fn putting_a_discontinued_item_makes_it_active_again() {
        ItemTest::with(())
            .given(vec![created(), InventoryEvent::ItemDiscontinued])
            .when(put(100))
            .then_expect_events(vec![changed(100)]);
    }

    #[test]
    fn discontinuing_twice_changes_nothing() {
        ItemTest::with(())
            .given(vec![created(), InventoryEvent::ItemDiscontinued])
            .when(InventoryCommand::Discontinue)
            .then_expect_events(vec![]);
    }

    #[test]
    fn an_item_that_was_never_created_is_not_found() {
        for command in [
            InventoryCommand::Discontinue,
            InventoryCommand::SetAvailable { difference: 1 },
            InventoryCommand::Move {
                quantity: SignedQuantity::new(1).unwrap(),
                reason: MovementReason::Received,
                reference: None,
            },
        ] {
            ItemTest::with(())
                .given_no_previous_events()
                .when(command)
                .then_expect_error(InventoryRefusal::NotFound);
        }
    }

    #[test]
    fn setting_the_stock_moves_the_difference() {
        let moved = InventoryEvent::StockMoved {
            sku: Sku::parse("A-1").unwrap(),
            quantity: -3,
            reason: MovementReason::Recount,
            reference: None,
        };
        ItemTest::with(())
            .given(vec![created()])
            .when(InventoryCommand::SetAvailable { difference: -3 })
            .then_expect_events(vec![moved.clone()]);
        assert_eq!(movements(&[moved])[0].quantity, -3);
    }
}
