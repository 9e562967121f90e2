//! Placing and cancelling orders.

use std::sync::Arc;

use domain::ids::{OrderId, UserId};
use domain::order::{ExistingOrder, Order, OrderCommand, OrderRefusal, RequestedLine};
use domain::sku::Sku;
use domain::text::Note;
use domain::time::Time;
use record::{AggregateType, Events};

use crate::commands::{Commands, Outcome, read_snapshot, snapshot};
use crate::commit::{CommitError, Committed, Decided, Handler, Loaded, Needs, Request, Undecided};
use crate::gate::{AggregateKey, Look, Looked, Refusal};

struct PlaceOrder {
    id: OrderId,
    user_id: UserId,
    lines: Vec<RequestedLine>,
}

struct CancelOrder {
    id: OrderId,
    /// Whose it must be; `None`: staff may cancel every order.
    owner: Option<UserId>,
    reason: Option<Note>,
}

impl Commands {
    /// Places an order of lines that were added up ([`domain::order::add_up`]).
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn place_order(
        &self,
        request: Request,
        user_id: UserId,
        lines: Vec<RequestedLine>,
    ) -> Result<Outcome<ExistingOrder>, CommitError> {
        let id = OrderId(self.committer.new_id());
        let handler = PlaceOrder { id, user_id, lines };
        let committed = self.committer.commit(request, handler).await?;
        let mut order = Order::default();
        apply(&mut order, &committed.record.body.events);
        answer(committed, order)
    }

    /// Cancels an order; its units return.
    ///
    /// # Errors
    /// See [`CommitError`]; somebody else's order is [`Refusal::NotFound`].
    pub async fn cancel_order(
        &self,
        request: Request,
        id: OrderId,
        owner: Option<UserId>,
        reason: Option<Note>,
    ) -> Result<Outcome<ExistingOrder>, CommitError> {
        let handler = CancelOrder { id, owner, reason };
        let committed = self.committer.commit(request, handler).await?;
        let order = match &committed.snapshot {
            Some(snapshot) => read(snapshot)?,
            None => self.order_now(id).await?,
        };
        answer(committed, order)
    }

    /// The order as the gate knows it.
    async fn order_now(&self, id: OrderId) -> Result<Order, CommitError> {
        let epoch = self
            .committer
            .keeper
            .open()
            .await
            .map_err(CommitError::OutcomeUnknown)?;
        match self.committer.look(&epoch, Look::Aggregate(key(id))).await {
            Ok(Looked::Aggregate(aggregate)) => read(&aggregate.snapshot),
            _ => Err(CommitError::OutcomeUnknown(
                "the order cannot be read now".to_owned(),
            )),
        }
    }
}

fn answer(committed: Committed, order: Order) -> Result<Outcome<ExistingOrder>, CommitError> {
    match order.existing {
        Some(value) => Ok(Outcome {
            value,
            replayed: committed.replayed,
            position: committed.position,
        }),
        None => Err(CommitError::OutcomeUnknown(
            "the order cannot be read now".to_owned(),
        )),
    }
}

fn read(snapshot: &str) -> Result<Order, CommitError> {
    serde_json::from_str(snapshot).map_err(|error| CommitError::OutcomeUnknown(error.to_string()))
}

fn apply(order: &mut Order, events: &Events) {
    if let Events::Orders(events) = events {
        events.iter().for_each(|event| order.apply_event(event));
    }
}

fn key(id: OrderId) -> AggregateKey {
    AggregateKey {
        kind: AggregateType::Orders,
        id: Arc::from(id.to_string()),
    }
}

fn decided(mut order: Order, command: &OrderCommand) -> Result<Decided, Undecided> {
    let events = Events::Orders(order.decide(command).map_err(refusal)?);
    apply(&mut order, &events);
    let snapshot = Some(snapshot(&order));
    Ok(Decided {
        events,
        snapshot,
        claims: vec![],
        available: None,
        discontinued: None,
    })
}

fn refusal(refusal: OrderRefusal) -> Refusal {
    match refusal {
        OrderRefusal::NotFound => Refusal::NotFound,
        OrderRefusal::AlreadyCancelled | OrderRefusal::AlreadyPlaced => Refusal::AlreadyCancelled,
        OrderRefusal::UnknownSku { sku } => Refusal::UnknownSku { sku },
        OrderRefusal::Discontinued { sku } => Refusal::Discontinued { sku },
        OrderRefusal::TotalTooLarge { sku } => Refusal::TotalTooLarge { sku },
    }
}

impl Handler for PlaceOrder {
    fn aggregate(&self) -> AggregateKey {
        key(self.id)
    }

    fn needs(&self) -> Needs {
        Needs::Fresh
    }

    fn skus(&self) -> Vec<Sku> {
        self.lines.iter().map(|line| line.sku.clone()).collect()
    }

    fn decide(&self, loaded: &Loaded, now: Time) -> Result<Decided, Undecided> {
        let with_terms = |line: &RequestedLine| {
            (
                line.clone(),
                loaded.items.get(&line.sku).map(|value| value.terms.clone()),
            )
        };
        let command = OrderCommand::Place {
            id: self.id,
            user_id: self.user_id,
            lines: self.lines.iter().map(with_terms).collect(),
            at: now,
        };
        decided(Order::default(), &command)
    }
}

impl Handler for CancelOrder {
    fn aggregate(&self) -> AggregateKey {
        key(self.id)
    }

    fn needs(&self) -> Needs {
        Needs::State
    }

    fn decide(&self, loaded: &Loaded, now: Time) -> Result<Decided, Undecided> {
        let order: Order = read_snapshot(loaded)?;
        let owner = order.existing.as_ref().map(|order| order.user_id);
        if self.owner.is_some() && self.owner != owner {
            return Err(Refusal::NotFound.into());
        }
        decided(
            order,
            &OrderCommand::Cancel {
                reason: self.reason.clone(),
                at: now,
            },
        )
    }
}
