//! One effect per idempotency key and per record (S3; scenarios T11, T21, T25, T34).

use super::MakeGate;
use super::fixture::*;
use crate::gate::{Look, Rebuilt, Refusal, Settled, Verdict};

/// T21, T25, F4: the reply was lost and the call is sent again.
pub async fn the_same_call_twice_takes_once(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let call = [
        keyed(place(1, &[("A", 1)]), "k", "f"),
        place(2, &[("A", 1)]),
        movement(3, "A", -1),
    ];
    let first = shop.decide_all(&call).await;
    assert_eq!(first[2], accepted(2, &[("A", 2, 4)]));
    let again = shop.decide_all(&call).await;
    for (verdict, version) in again.iter().zip([1, 1, 2]) {
        assert_eq!(
            *verdict,
            accepted(version, &[("A", 2, 4)]),
            "the figures are as they are now"
        );
    }
    assert_eq!(shop.available().await, 2);
}

/// A late copy may come after a completion settled the record.
pub async fn the_same_call_finds_its_first_run_after_it_was_settled(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    for command in [
        keyed(place(1, &[("A", 1)]), "k", "f"),
        place(2, &[("A", 1)]),
    ] {
        let first = shop.commit(&command).await;
        assert_eq!(shop.decide(&command).await, first);
        assert_eq!(shop.settle(&settling(&command)).await, Settled::Before);
    }
    assert_eq!(shop.available().await, 3);
}

/// The version stays the first run's, also after others came.
pub async fn a_call_without_a_key_is_known_by_its_record(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let first = movement(1, "A", -1);
    shop.decide(&first).await;
    let predecessor = Some(first.record);
    shop.decide(&movement(2, "A", -1)).await;
    let second = shop.decide(&movement(2, "A", -1)).await;
    assert!(
        matches!(second, Verdict::Accepted { version: 3, predecessor: p, .. } if p == predecessor),
        "{second:?}"
    );
    assert_eq!(shop.decide(&first).await, accepted(2, &[("A", 3, 3)]));
}

/// T34: two requests with one key at once.
pub async fn a_second_attempt_of_a_key_is_replayed(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let (first, second) = (place(1, &[("A", 1)]), place(2, &[("A", 1)]));
    let (first, second) = (keyed(first, "k", "f"), keyed(second, "k", "f"));
    let verdicts = shop.decide_all(&[first.clone(), second.clone()]).await;
    let replayed = |position| Verdict::Replayed {
        record: first.record,
        aggregate_id: first.aggregate.id.clone(),
        position,
    };
    assert_eq!(verdicts, [accepted(1, &[("A", 4, 5)]), replayed(None)]);
    shop.settle(&settling(&first)).await;
    assert_eq!(shop.decide(&second).await, replayed(Some(position(&first))));
    assert_eq!(shop.available().await, 4);
}

/// T34: one key, another body.
pub async fn a_key_with_another_request_is_reused(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    shop.decide(&keyed(place(1, &[("A", 1)]), "k", "f")).await;
    let other = keyed(place(2, &[("A", 2)]), "k", "another");
    assert_eq!(shop.decide(&other).await, Verdict::KeyReused);
    assert_eq!(shop.available().await, 4);
}

/// Keys come back with a rebuild, with their records' positions.
pub async fn a_key_of_an_earlier_epoch_is_replayed(make: MakeGate) {
    let first = keyed(place(1, &[("A", 1)]), "k", "f");
    let key = Rebuilt::Key {
        entry: first.key.clone().expect("it has one"),
        record: first.record,
        aggregate_id: first.aggregate.id.clone(),
        position: position(&first),
    };
    let shop = Shop::with(make(9), [item("A", 5), vec![key]].concat()).await;
    let replayed = Verdict::Replayed {
        record: first.record,
        aggregate_id: first.aggregate.id.clone(),
        position: Some(position(&first)),
    };
    assert_eq!(
        shop.decide(&keyed(place(2, &[("A", 1)]), "k", "f")).await,
        replayed
    );
    assert_eq!(shop.decide(&first).await, replayed);
    assert_eq!(
        shop.decide(&keyed(place(2, &[]), "k", "g")).await,
        Verdict::KeyReused
    );
}

/// An attempt that is still under way cannot succeed after its retry was refused (S5).
pub async fn a_refusal_is_remembered(make: MakeGate) {
    let shop = Shop::selling(make, 0).await;
    let (first, second) = (place(1, &[("A", 1)]), place(2, &[("A", 1)]));
    let (first, second) = (keyed(first, "k", "f"), keyed(second, "k", "f"));
    assert_eq!(shop.decide(&first).await, refused(out_of_stock(1, 0)));
    shop.commit(&movement(3, "A", 5)).await;
    assert_eq!(
        shop.decide(&first).await,
        refused(out_of_stock(1, 0)),
        "the same attempt"
    );
    let replayed = Verdict::Refused {
        refusal: out_of_stock(1, 0),
        replayed: true,
        rests_on: None,
    };
    assert_eq!(shop.decide(&second).await, replayed);
    assert_eq!(shop.available().await, 5);
    assert_eq!(
        shop.look(Look::Aggregate(first.aggregate)).await,
        crate::gate::Looked::Nothing
    );
}

/// So that a late copy of its call finds the first run's result.
pub async fn a_refusal_without_a_key_is_known_by_its_record(make: MakeGate) {
    let shop = Shop::selling(make, 0).await;
    let command = place(1, &[("A", 1)]);
    assert_eq!(shop.decide(&command).await, refused(out_of_stock(1, 0)));
    shop.commit(&movement(2, "A", 5)).await;
    assert_eq!(shop.decide(&command).await, refused(out_of_stock(1, 0)));
    assert_eq!(
        shop.decide(&place(3, &[("A", 1)])).await,
        accepted(1, &[("A", 4, 5)])
    );
}

/// A key belongs to its first request, also where that was refused.
pub async fn a_remembered_refusal_with_another_request_is_a_reused_key(make: MakeGate) {
    let shop = Shop::selling(make, 0).await;
    let refused_command = refused_by_domain(change(1, order(9), 0), Refusal::NotFound);
    shop.decide(&keyed(refused_command, "k", "f")).await;
    let other = keyed(place(2, &[]), "k", "another");
    assert_eq!(shop.decide(&other).await, Verdict::KeyReused);
}

/// The attempt comes again under the same key and is then decided.
pub async fn verdicts_that_ask_again_are_not_remembered(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let mut command = keyed(place(1, &[("A", 1)]), "k", "f");
    command.terms = vec![(sku("A"), 9)];
    assert!(matches!(
        shop.decide(&command).await,
        Verdict::TermsChanged(_)
    ));
    let early = keyed(change(1, order(1), 4), "k", "f");
    assert_eq!(shop.decide(&early).await, Verdict::VersionChanged);
    let again = keyed(place(1, &[("A", 1)]), "k", "f");
    assert_eq!(shop.decide(&again).await, accepted(1, &[("A", 4, 5)]));
}
