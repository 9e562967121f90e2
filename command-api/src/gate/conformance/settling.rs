//! Step 6: what a record raises, once (T8, T9, T12, T15).

use record::{Layout, Position};

use super::MakeGate;
use super::fixture::*;
use crate::gate::{Decide, GateError, Look, Settle, Settled, Verdict};

/// An order of two units and what settles its cancel.
async fn cancelled_order(shop: &Shop) -> (Decide, Settle) {
    shop.commit(&place(1, &[("A", 2)])).await;
    let cancel = change(2, order(1), 1);
    shop.decide(&cancel).await;
    let settle = Settle {
        gives: vec![(sku("A"), 2)],
        ..settling(&cancel)
    };
    (cancel, settle)
}

/// Before that, the cancel could be void.
pub async fn a_cancel_gives_back_when_it_is_settled(make: MakeGate) {
    let shop = Shop::selling(make, 2).await;
    let (_, settle) = cancelled_order(&shop).await;
    assert_eq!(shop.available().await, 0);
    assert_eq!(shop.settle(&settle).await, Settled::Done);
    assert_eq!(shop.available().await, 2);
}

/// T12, also within one call.
pub async fn settling_twice_gives_once(make: MakeGate) {
    let shop = Shop::selling(make, 2).await;
    let (_, settle) = cancelled_order(&shop).await;
    let twice = [settle.clone(), settle.clone()];
    let reply = shop
        .gate
        .settle(&shop.current, &twice, &[])
        .await
        .expect("it is open");
    assert_eq!(reply.answers, [Settled::Done, Settled::Before]);
    assert_eq!(shop.settle(&settle).await, Settled::Before);
    assert_eq!(shop.available().await, 2);
}

/// A replay is rebuilt from the record at this position.
pub async fn a_settled_key_has_its_position(make: MakeGate) {
    let shop = Shop::selling(make, 2).await;
    let command = keyed(place(1, &[("A", 1)]), "k", "f");
    shop.commit(&command).await;
    match shop.decide(&keyed(place(2, &[("A", 1)]), "k", "f")).await {
        Verdict::Replayed { position: at, .. } => assert_eq!(at, Some(position(&command))),
        other => panic!("{other:?}"),
    }
}

/// T9: a release is tied to its reservation.
pub async fn a_record_that_was_never_decided_gives_nothing(make: MakeGate) {
    let shop = Shop::selling(make, 2).await;
    let never = Settle {
        gives: vec![(sku("A"), 2)],
        ..settling(&change(9, order(9), 0))
    };
    assert_eq!(shop.settle(&never).await, Settled::Before);
    assert_eq!(shop.available().await, 2);
}

/// Predecessors are settled first, in the same call.
pub async fn settling_a_creation_and_its_supply_together_makes_both(make: MakeGate) {
    let shop = Shop::open(make).await;
    let creation = change(1, item_key("A"), 0);
    shop.decide(&creation).await;
    let with_stock = Settle {
        gives: vec![(sku("A"), 3)],
        ..settling_terms(&creation, 1, 100, true)
    };
    assert_eq!(shop.settle(&with_stock).await, Settled::Done);
    assert_eq!(shop.value("A").await.available, 3);
}

/// Its creating record is not pending, so its value was lost.
pub async fn giving_to_an_item_that_never_was_is_damage(make: MakeGate) {
    let shop = Shop::open(make).await;
    let command = change(1, order(1), 0);
    shop.decide(&command).await;
    let giving = Settle {
        gives: vec![(sku("A"), 3)],
        ..settling(&command)
    };
    let answer = shop.try_settle(&giving).await;
    assert!(matches!(answer, Err(GateError::Damaged(_))), "{answer:?}");
}

/// A retry of the key would be decided anew.
pub async fn a_pending_record_without_its_key_is_damage(make: MakeGate) {
    let shop = Shop::open(make).await;
    let command = change(1, order(1), 0);
    shop.decide(&command).await;
    let answer = shop.try_settle(&settling(&keyed(command, "k", "f"))).await;
    assert!(matches!(answer, Err(GateError::Damaged(_))), "{answer:?}");
    assert!(matches!(
        shop.look(Look::Aggregate(order(1))).await,
        crate::gate::Looked::Aggregate(_)
    ));
}

/// A slower node does not set them back.
pub async fn tails_start_at_the_highest_position(make: MakeGate) {
    let shop = Shop::open(make).await;
    assert_eq!(shop.gate.tail_starts(&shop.current).await, Ok([].into()));
    let partitions = Layout::uniform(2).partitions_of_record();
    let at = |index: usize, offset| Position {
        partition: partitions[index],
        offset,
    };
    for tails in [
        vec![at(0, 9), at(5, 0)],
        vec![at(0, 1 << 52)],
        vec![at(0, 8)],
        vec![],
    ] {
        shop.gate
            .settle(&shop.current, &[], &tails)
            .await
            .expect("it is open");
    }
    let starts = [(partitions[0], 1 << 52), (partitions[5], 0)].into();
    assert_eq!(shop.gate.tail_starts(&shop.current).await, Ok(starts));
}
