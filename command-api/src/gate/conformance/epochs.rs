//! Recovery, steps 3 and 4, on the gate's side.

use std::collections::BTreeMap;

use super::MakeGate;
use super::fixture::*;
use crate::gate::{Current, Gate, GateError, LoadedAggregate, Look, Looked, Rebuilt};

/// Every call finds this epoch closed.
pub async fn assert_closed(gate: &dyn Gate, current: &Current) {
    let closed = [
        gate.load(current, &[]).await.err(),
        gate.decide(current, &[place(1, &[])]).await.err(),
        gate.settle(current, &[], &[]).await.err(),
        gate.pending(current, None).await.err(),
        gate.tail_starts(current).await.err(),
    ];
    for error in closed {
        assert!(matches!(error, Some(GateError::Closed(_))), "{error:?}");
    }
}

/// Nothing to take, so nothing can be decided.
pub async fn an_empty_gate_has_no_epoch(make: MakeGate) {
    let gate = make(9);
    assert_eq!(gate.probe().await, Ok(()));
    assert_eq!(gate.current().await, Ok(None));
}

/// Number, scripts, fences and generation are read together.
pub async fn a_published_epoch_is_current(make: MakeGate) {
    let shop = Shop::open(make).await;
    assert_eq!(shop.gate.current().await, Ok(Some(shop.current.clone())));
    assert_eq!((shop.current.epoch, shop.current.generation), (EPOCH, 0));
    let offsets: BTreeMap<_, _> = shop.current.fences.values().map(|o| (*o, ())).collect();
    assert_eq!(offsets.into_keys().collect::<Vec<_>>(), [EPOCH * 10]);
}

/// Its data goes before the new data comes.
pub async fn a_lower_epoch_is_closed_once_a_rebuild_begins(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let rebuild = shop.gate.begin_rebuild(EPOCH + 1).await.expect("it begins");
    assert_closed(&*shop.gate, &shop.current).await;
    let pointer = shop
        .gate
        .current()
        .await
        .expect("it answers")
        .expect("it stays");
    assert_eq!(pointer.epoch, EPOCH);
    let next = rebuild
        .publish(BTreeMap::new())
        .await
        .expect("it is higher");
    assert_eq!(shop.gate.current().await, Ok(Some(next)));
    assert_closed(&*shop.gate, &shop.current).await;
}

/// A late recovery changes nothing.
pub async fn a_lower_epoch_is_never_published(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    for late in [EPOCH - 1, EPOCH - 2] {
        let error = open_epoch(&*shop.gate, late, vec![]).await;
        assert!(matches!(error, Err(GateError::Closed(_))), "{error:?}");
    }
    assert_eq!(shop.available().await, 5);
    assert_eq!(shop.gate.current().await, Ok(Some(shop.current.clone())));
}

/// A higher rebuild deleted its data, wholly or in part.
pub async fn a_rebuild_that_was_overtaken_is_not_published(make: MakeGate) {
    let gate = make(9);
    let mut slow = gate.begin_rebuild(3).await.expect("it begins");
    slow.write(item("A", 5)).await.expect("it is written");
    let fast = gate.begin_rebuild(4).await.expect("it begins");
    slow.write(item("B", 5)).await.expect("it is written");
    let error = slow.publish(BTreeMap::new()).await;
    assert!(matches!(error, Err(GateError::Closed(_))), "{error:?}");
    let current = fast
        .publish(BTreeMap::new())
        .await
        .expect("it is the highest");
    assert_eq!(gate.current().await, Ok(Some(current)));
}

/// It came between a higher one's beginning and its end, so that one's deletions missed it.
pub async fn an_epoch_that_was_opened_meanwhile_ends_with_a_higher_one(make: MakeGate) {
    let gate = make(9);
    let mut higher = gate.begin_rebuild(12).await.expect("it begins");
    higher.write(item("A", 5)).await.expect("it is written");
    let between = open_epoch(&*gate, 3, item("A", 5))
        .await
        .expect("nothing higher is current yet");
    let open = gate.load(&between, &[Look::Item(sku("A"))]).await;
    assert_eq!(open.expect("it is open").answers, [Looked::Item(value(5))]);
    let current = higher
        .publish(BTreeMap::new())
        .await
        .expect("it is the highest");
    assert_closed(&*gate, &between).await;
    let open = gate.load(&current, &[Look::Item(sku("A"))]).await;
    assert_eq!(open.expect("it is open").answers, [Looked::Item(value(5))]);
}

/// Values, aggregates and claims; of a name written twice the last counts.
pub async fn what_was_rebuilt_is_there(make: MakeGate) {
    let mut pieces = item("A", 1);
    let owner = user(1);
    pieces.extend((0..2000).flat_map(|number| item(&format!("S{number}"), number)));
    pieces.extend([
        Rebuilt::Item(sku("A"), value(5)),
        Rebuilt::Claim(claimed("email:x", &owner)),
        Rebuilt::Aggregate {
            key: owner,
            version: 12,
            snapshot: "a | b\nc".to_owned(),
        },
    ]);
    let shop = Shop::with(make(9), pieces).await;
    let looks = [
        Look::Item(sku("A")),
        Look::Item(sku("S1999")),
        Look::Claimed("email:x".to_owned()),
        Look::Claimed("email:y".to_owned()),
    ];
    let loaded = LoadedAggregate {
        id: user(1).id,
        version: 12,
        snapshot: "a | b\nc".to_owned(),
        latest_pending: None,
    };
    let found = [
        Looked::Item(value(5)),
        Looked::Item(value(1999)),
        Looked::Aggregate(loaded),
        Looked::Nothing,
    ];
    let answer = shop
        .gate
        .load(&shop.current, &looks)
        .await
        .expect("it is open");
    assert_eq!(answer.answers, found);
}

/// Two epochs never touch each other's data.
pub async fn an_epoch_knows_nothing_of_the_one_before(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    shop.decide(&place(1, &[("A", 1)])).await;
    let current = open_epoch(&*shop.gate, EPOCH + 1, item("B", 5))
        .await
        .expect("it is higher");
    let looks = [Look::Item(sku("A")), Look::Aggregate(order(1))];
    let found = shop.gate.load(&current, &looks).await.expect("it is open");
    assert_eq!(found.answers, [Looked::Nothing, Looked::Nothing]);
    assert_eq!(shop.gate.pending(&current, None).await, Ok(vec![]));
    assert_eq!(shop.gate.tail_starts(&current).await, Ok([].into()));
}

/// A command never goes on in another epoch than it began in, so nothing is missed.
pub async fn refusals_begin_anew_with_an_epoch(make: MakeGate) {
    let shop = Shop::with(make(1), item("A", 0)).await;
    shop.decide(&keyed(place(1, &[("A", 1)]), "k", "f")).await;
    assert_eq!(shop.generation().await, 1);
    let current = open_epoch(&*shop.gate, EPOCH + 1, item("A", 1))
        .await
        .expect("it is higher");
    assert_eq!(current.generation, 0);
    let again = [keyed(place(1, &[("A", 1)]), "k", "f")];
    let reply = shop
        .gate
        .decide(&current, &again)
        .await
        .expect("it is open");
    assert_eq!(reply.answers, [accepted(1, &[("A", 0, 1)])]);
}
