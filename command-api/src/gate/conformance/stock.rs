//! What is available: never more than there is, never less (scenarios T1–T5, T26, T28, T35, T36).

use futures::future::join_all;

use super::MakeGate;
use super::fixture::*;
use crate::gate::{ENTRIES_PER_GENERATION, Refusal, Verdict};

/// T1, T28.
pub async fn the_last_unit_is_sold_once(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    assert_eq!(
        shop.decide(&place(1, &[("A", 4)])).await,
        accepted(1, &[("A", 1, 5)])
    );
    assert_eq!(
        shop.decide(&place(2, &[("A", 2)])).await,
        refused(out_of_stock(2, 1))
    );
    assert_eq!(
        shop.decide(&place(3, &[("A", 1)])).await,
        accepted(1, &[("A", 0, 5)])
    );
    assert_eq!(
        shop.decide(&place(4, &[("A", 1)])).await,
        refused(out_of_stock(1, 0))
    );
}

/// T3.
pub async fn two_lines_of_one_sku_are_judged_by_their_sum(make: MakeGate) {
    let shop = Shop::selling(make, 3).await;
    let twice = place(1, &[("A", 2), ("A", 2)]);
    assert_eq!(shop.decide(&twice).await, refused(out_of_stock(4, 3)));
    let fitting = place(2, &[("A", 1), ("A", 2)]);
    assert_eq!(shop.decide(&fitting).await, accepted(1, &[("A", 0, 3)]));
}

/// T26.
pub async fn a_refused_second_line_takes_nothing_of_the_first(make: MakeGate) {
    let pieces = [item("A", 1), item("B", 1)].concat();
    let shop = Shop::with(make(9), pieces).await;
    let refusal = Refusal::OutOfStock {
        sku: sku("B"),
        requested: 2,
        available: 1,
    };
    assert_eq!(
        shop.decide(&place(1, &[("A", 1), ("B", 2)])).await,
        refused(refusal)
    );
    let both = accepted(1, &[("A", 0, 1), ("B", 0, 1)]);
    assert_eq!(shop.decide(&place(2, &[("A", 1), ("B", 1)])).await, both);
}

/// Each for itself, one after the other.
pub async fn commands_of_one_call_see_each_others_effects(make: MakeGate) {
    let shop = Shop::selling(make, 3).await;
    let call = [
        place(1, &[("A", 2)]),
        place(2, &[("A", 2)]),
        place(3, &[("A", 1)]),
    ];
    let verdicts = shop.decide_all(&call).await;
    let expected = [
        accepted(1, &[("A", 1, 3)]),
        refused(out_of_stock(2, 1)),
        accepted(1, &[("A", 0, 3)]),
    ];
    assert_eq!(verdicts, expected);
}

/// More commands, and more lines, than one script call takes.
pub async fn a_call_of_any_length_is_decided_in_order(make: MakeGate) {
    let names: Vec<String> = (0..100).map(|number| format!("S{number}")).collect();
    let pieces = names.iter().flat_map(|name| item(name, 150)).collect();
    let shop = Shop::with(make(ENTRIES_PER_GENERATION), pieces).await;
    let lines: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let call: Vec<_> = (0..200).map(|record| place(record, &lines)).collect();
    let verdicts = shop.decide_all(&call).await;
    let sold = |verdict: &Verdict| matches!(verdict, Verdict::Accepted { .. });
    assert!(verdicts[..150].iter().all(sold));
    assert!(!verdicts[150..].iter().any(sold));
    assert_eq!(shop.value("S99").await.available, 0);
}

/// T1, T2.
pub async fn a_thousand_buyers_at_once_get_what_there_is(make: MakeGate) {
    let shop = Shop::selling(make, 37).await;
    let buyers = (0..1000).map(|record| {
        let (gate, current) = (shop.gate.clone(), shop.current.clone());
        tokio::spawn(async move {
            let call = [place(record, &[("A", 1)])];
            gate.decide(&current, &call)
                .await
                .map(|reply| reply.answers)
        })
    });
    let answers = join_all(buyers).await;
    let sold = answers
        .into_iter()
        .filter(|answer| match answer {
            Ok(Ok(verdicts)) => matches!(verdicts[..], [Verdict::Accepted { .. }]),
            other => panic!("{other:?}"),
        })
        .count();
    assert_eq!(sold, 37);
    assert_eq!(shop.available().await, 0);
}

/// What raises availability waits for step 6.
pub async fn new_supply_can_be_sold_once_it_is_settled(make: MakeGate) {
    let shop = Shop::selling(make, 0).await;
    let supply = movement(1, "A", 5);
    assert_eq!(shop.decide(&supply).await, accepted(2, &[("A", 0, 5)]));
    assert_eq!(
        shop.decide(&place(2, &[("A", 1)])).await,
        refused(out_of_stock(1, 0))
    );
    shop.settle(&settling(&supply)).await;
    assert_eq!(
        shop.decide(&place(3, &[("A", 5)])).await,
        accepted(1, &[("A", 0, 5)])
    );
}

/// What lowers availability does not wait.
pub async fn units_that_are_taken_out_leave_both_figures(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    assert_eq!(
        shop.commit(&movement(1, "A", -2)).await,
        accepted(2, &[("A", 3, 3)])
    );
    assert_eq!(shop.value("A").await.supplied, 3);
}

/// Units that are held cannot be taken out.
pub async fn more_than_is_available_cannot_be_taken_out(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    shop.decide(&place(1, &[("A", 4)])).await;
    assert_eq!(
        shop.decide(&movement(2, "A", -2)).await,
        refused(out_of_stock(2, 1))
    );
    assert_eq!(
        shop.decide(&movement(3, "A", -9)).await,
        refused(out_of_stock(9, 1))
    );
}

/// 10^12 units, written as digits and not as `1e+12`.
pub async fn supply_stops_at_its_limit(make: MakeGate) {
    let shop = Shop::selling(make, 1).await;
    let most = 1_000_000_000_000 - 1;
    let limit = |supplied| Refusal::StockLimit {
        sku: sku("A"),
        supplied,
    };
    assert_eq!(
        shop.decide(&movement(1, "A", most + 1)).await,
        refused(limit(1))
    );
    assert_eq!(
        shop.commit(&movement(2, "A", most)).await,
        accepted(2, &[("A", 1, most + 1)])
    );
    assert_eq!(
        shop.decide(&movement(3, "A", 1)).await,
        refused(limit(most + 1))
    );
    assert_eq!(shop.available().await, most + 1);
}

/// T35: an absolute figure never overwrites orders under way.
pub async fn a_compare_and_set_needs_the_true_figure(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    shop.decide(&place(1, &[("A", 2)])).await;
    let set = |record, expected: i64, available: i64| {
        appended(movement(record, "A", available - expected), |append| {
            append.available = Some(expected);
        })
    };
    let changed = Refusal::StockChanged {
        sku: sku("A"),
        available: 3,
    };
    assert_eq!(shop.decide(&set(2, 5, 9)).await, refused(changed));
    assert_eq!(
        shop.commit(&set(3, 3, 9)).await,
        accepted(2, &[("A", 3, 11)])
    );
    assert_eq!(
        shop.commit(&set(4, 9, 0)).await,
        accepted(3, &[("A", 0, 2)])
    );
    assert_eq!(
        shop.decide(&set(5, 0, 0)).await,
        accepted(4, &[("A", 0, 2)])
    );
}

/// A command that takes the next version needs an aggregate that has one.
pub async fn a_movement_of_nothing_in_the_catalogue_is_not_found(make: MakeGate) {
    let shop = Shop::open(make).await;
    assert_eq!(
        shop.decide(&movement(1, "A", 1)).await,
        refused(Refusal::NotFound)
    );
}
