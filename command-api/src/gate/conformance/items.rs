//! Terms and status, and SKUs without a value: unknown, pending or damage (T33, T37).

use super::MakeGate;
use super::fixture::*;
use crate::gate::{Decide, GateError, ItemValue, Look, Looked, Rebuilt, Refusal, Settled, Verdict};

/// Never 0, never unlimited.
pub async fn a_sku_without_anything_is_unknown(make: MakeGate) {
    let shop = Shop::open(make).await;
    assert_eq!(shop.look(Look::Item(sku("A"))).await, Looked::Nothing);
    let known = place(1, &[("A", 1)]);
    let changed = Verdict::TermsChanged(vec![(sku("A"), None)]);
    assert_eq!(shop.decide(&known).await, changed);
    let unknown = Decide {
        terms: vec![(sku("A"), 0)],
        ..known.clone()
    };
    let refusal = Refusal::UnknownSku { sku: sku("A") };
    assert_eq!(shop.decide(&unknown).await, refused(refusal.clone()));
    let by_domain = Decide {
        record: id(2),
        ..refused_by_domain(unknown, refusal.clone())
    };
    assert_eq!(shop.decide(&by_domain).await, refused(refusal.clone()));
    let without_terms = Decide {
        record: id(3),
        terms: vec![],
        ..known
    };
    assert_eq!(shop.decide(&without_terms).await, refused(refusal));
}

/// Only an item's own creating record makes its value.
pub async fn an_item_is_pending_until_its_creation_is_settled(make: MakeGate) {
    let shop = Shop::open(make).await;
    let creation = change(1, item_key("A"), 0);
    assert_eq!(shop.decide(&creation).await, accepted(1, &[]));
    assert_eq!(
        shop.look(Look::Item(sku("A"))).await,
        Looked::ItemPending(id(1))
    );
    let pending = Verdict::ItemPending {
        sku: sku("A"),
        record: id(1),
    };
    for waiting in [
        place(2, &[("A", 1)]),
        movement(3, "A", 1),
        discontinue(4, "A", 1),
    ] {
        assert_eq!(shop.decide(&waiting).await, pending);
    }
    assert_eq!(
        shop.settle(&settling_terms(&creation, 1, 100, true)).await,
        Settled::Done
    );
    assert_eq!(shop.value("A").await, value(0));
    assert_eq!(
        shop.decide(&movement(3, "A", 1)).await,
        accepted(2, &[("A", 0, 1)])
    );
}

/// A change was settled before the creation of its item: it stays pending too.
pub async fn a_record_waits_for_the_creation_of_its_item(make: MakeGate) {
    let shop = Shop::open(make).await;
    let (creation, changing) = (change(1, item_key("A"), 0), change(2, item_key("A"), 1));
    shop.decide(&creation).await;
    shop.decide(&changing).await;
    let of_change = settling_terms(&changing, 2, 200, false);
    assert_eq!(shop.settle(&of_change).await, Settled::ItemPending);
    let both = [settling_terms(&creation, 1, 100, true), of_change];
    let reply = shop
        .gate
        .settle(&shop.current, &both, &[])
        .await
        .expect("it is open");
    assert_eq!(reply.answers, [Settled::Done, Settled::Done]);
    assert_eq!(
        (
            shop.value("A").await.terms,
            shop.value("A").await.terms_version
        ),
        (terms(200), 2)
    );
}

/// The command is decided again with them.
pub async fn changed_terms_are_given_back(make: MakeGate) {
    let shop = Shop::with(make(9), [item("A", 5), item("B", 5)].concat()).await;
    let mut command = place(1, &[("A", 1), ("B", 1)]);
    command.terms = vec![(sku("A"), 4), (sku("B"), 1)];
    let changed = Verdict::TermsChanged(vec![(sku("A"), Some(value(5)))]);
    assert_eq!(shop.decide(&command).await, changed);
    command.terms = vec![(sku("A"), 0), (sku("B"), 0)];
    let changed = vec![(sku("A"), Some(value(5))), (sku("B"), Some(value(5)))];
    assert_eq!(shop.decide(&command).await, Verdict::TermsChanged(changed));
}

/// A refusal that rests on other terms than the settled ones is decided again.
pub async fn a_refusal_needs_the_terms_that_it_rests_on(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let refusal = Refusal::TotalTooLarge { sku: sku("A") };
    let mut command = refused_by_domain(place(1, &[("A", 1)]), refusal.clone());
    command.terms = vec![(sku("A"), 3)];
    assert!(matches!(
        shop.decide(&command).await,
        Verdict::TermsChanged(_)
    ));
    command.terms = vec![(sku("A"), 1)];
    assert_eq!(shop.decide(&command).await, refused(refusal));
}

/// A new price may be relied on once it is settled.
pub async fn terms_change_when_they_are_settled(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let changing = change(1, item_key("A"), 1);
    shop.decide(&changing).await;
    assert_eq!(shop.value("A").await, value(5));
    shop.settle(&settling_terms(&changing, 2, 200, false)).await;
    let new = ItemValue {
        terms: terms(200),
        terms_version: 2,
        ..value(5)
    };
    assert_eq!(shop.value("A").await, new);
}

/// Terms are monotone by version.
pub async fn older_terms_never_replace_newer_ones(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let (second, third) = (change(1, item_key("A"), 1), change(2, item_key("A"), 2));
    shop.decide_all(&[second.clone(), third.clone()]).await;
    shop.settle(&settling_terms(&third, 3, 300, false)).await;
    shop.settle(&settling_terms(&second, 2, 200, false)).await;
    assert_eq!(shop.value("A").await.terms, terms(300));
}

/// A discontinuation lowers availability, so it does not wait for step 6.
pub async fn a_discontinued_item_is_refused_at_once(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    shop.decide(&discontinue(1, "A", 1)).await;
    let value = shop.value("A").await;
    assert_eq!(value.terms_version, 2);
    assert!(matches!(
        shop.decide(&place(2, &[("A", 1)])).await,
        Verdict::TermsChanged(_)
    ));
    let mut command = place(2, &[("A", 1)]);
    command.terms = vec![(sku("A"), 2)];
    let refusal = Verdict::Refused {
        refusal: Refusal::Discontinued { sku: sku("A") },
        replayed: false,
        rests_on: Some(id(1)),
    };
    assert_eq!(shop.decide(&command).await, refusal);
    let by_domain = refused_by_domain(command, Refusal::Discontinued { sku: sku("A") });
    assert_eq!(
        shop.decide(&Decide {
            record: id(3),
            ..by_domain
        })
        .await,
        refusal
    );
    let out = movement(4, "A", -5);
    assert!(matches!(
        shop.decide(&out).await,
        Verdict::Accepted { version: 3, .. }
    ));
}

/// Versions, not the order of settling, say what the catalogue says.
pub async fn a_discontinuation_is_not_undone_by_an_older_change(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let changing = change(1, item_key("A"), 1);
    shop.decide_all(&[changing.clone(), discontinue(2, "A", 2)])
        .await;
    let discontinued = shop.value("A").await;
    shop.settle(&settling_terms(&changing, 2, 200, false)).await;
    assert_eq!(shop.value("A").await, discontinued);
    let active_again = change(3, item_key("A"), 3);
    shop.decide(&active_again).await;
    shop.settle(&settling_terms(&active_again, 4, 400, false))
        .await;
    assert_eq!(shop.value("A").await.terms, terms(400));
}

/// One counter deleted: never "unknown SKU".
pub async fn a_snapshot_without_value_or_pending_record_is_damage(make: MakeGate) {
    let snapshot = Rebuilt::Aggregate {
        key: item_key("A"),
        version: 1,
        snapshot: "{}".to_owned(),
    };
    damage(
        make,
        snapshot,
        &[place(1, &[("A", 1)]), movement(2, "A", 1)],
    )
    .await;
}

/// Otherwise the item could be created a second time with version 1.
pub async fn a_value_without_a_snapshot_is_damage(make: MakeGate) {
    let value = Rebuilt::Item(sku("A"), value(5));
    damage(
        make,
        value,
        &[change(1, item_key("A"), 0), movement(2, "A", 1)],
    )
    .await;
}

async fn damage(make: MakeGate, piece: Rebuilt, commands: &[Decide]) {
    let shop = Shop::with(make(9), vec![piece]).await;
    for command in commands {
        let answer = shop
            .gate
            .decide(&shop.current, std::slice::from_ref(command))
            .await;
        assert!(matches!(answer, Err(GateError::Damaged(_))), "{answer:?}");
    }
    let looks = [Look::Item(sku("A")), Look::Aggregate(item_key("A"))];
    let answer = shop.gate.load(&shop.current, &looks).await;
    assert!(matches!(answer, Err(GateError::Damaged(_))), "{answer:?}");
}
