//! Refusals do not fill the gate, and are kept as long as an attempt may be under way.

use super::MakeGate;
use super::fixture::*;
use crate::gate::{Decide, Verdict};

fn refusable(record: u128, key: &str, generation: u64) -> Decide {
    let command = keyed(place(record, &[("A", 1)]), key, "f");
    Decide {
        generation,
        ..command
    }
}

/// A shop without stock, with two refusals a generation.
async fn empty_shop(make: MakeGate) -> Shop {
    Shop::with(make(2), item("A", 0)).await
}

/// Fills as many generations with refusals of others.
async fn fill(shop: &Shop, generations: u64, records_from: u128) {
    for generation in 0..generations {
        let now = shop.generation().await;
        let first = records_from + u128::from(generation) * 2;
        for record in [first, first + 1] {
            shop.decide(&refusable(record, &format!("filler-{record}"), now))
                .await;
        }
        assert_eq!(shop.generation().await, now + 1);
    }
}

/// Every reply tells the newest.
pub async fn a_generation_begins_when_one_is_full(make: MakeGate) {
    let shop = empty_shop(make).await;
    assert_eq!(shop.generation().await, 0);
    let first = shop
        .gate
        .decide(&shop.current, &[refusable(1, "a", 0)])
        .await;
    assert_eq!(first.map(|reply| reply.generation), Ok(0));
    let second = shop
        .gate
        .decide(&shop.current, &[refusable(2, "b", 0)])
        .await;
    assert_eq!(second.map(|reply| reply.generation), Ok(1));
    let current = shop
        .gate
        .current()
        .await
        .expect("it answers")
        .expect("it is open");
    assert_eq!(current.generation, 1);
}

/// A refusal of it could be forgotten already.
pub async fn a_command_of_two_generations_ago_is_not_decided(make: MakeGate) {
    let shop = empty_shop(make).await;
    fill(&shop, 2, 100).await;
    assert_eq!(
        shop.decide(&refusable(1, "a", 0)).await,
        Verdict::GenerationOver
    );
    let unkeyed = Decide {
        key: None,
        ..refusable(2, "a", 0)
    };
    assert_eq!(shop.decide(&unkeyed).await, Verdict::GenerationOver);
    assert_eq!(
        shop.decide(&refusable(1, "a", 1)).await,
        refused(out_of_stock(1, 0))
    );
}

/// A command that began when the refusal was written can still be under way.
pub async fn a_refusal_outlives_its_generation_by_one(make: MakeGate) {
    let shop = empty_shop(make).await;
    shop.decide(&refusable(1, "a", 0)).await;
    shop.decide(&refusable(2, "b", 0)).await;
    shop.commit(&movement(3, "A", 5)).await;
    let found = shop.decide(&refusable(4, "a", 0)).await;
    assert!(
        matches!(found, Verdict::Refused { replayed: true, .. }),
        "{found:?}"
    );
}

/// And one that was forgotten may be decided anew.
pub async fn a_refusal_found_again_is_kept_longer(make: MakeGate) {
    let shop = empty_shop(make).await;
    shop.decide(&refusable(1, "a", 0)).await;
    shop.decide(&refusable(2, "b", 0)).await;
    shop.decide(&refusable(3, "a", 1)).await;
    shop.decide(&refusable(4, "c", 1)).await;
    assert_eq!(shop.generation().await, 2);
    let kept = shop.decide(&refusable(5, "a", 2)).await;
    assert!(
        matches!(kept, Verdict::Refused { replayed: true, .. }),
        "{kept:?}"
    );
    let forgotten = shop.decide(&refusable(6, "b", 2)).await;
    assert_eq!(forgotten, refused(out_of_stock(1, 0)));
}
