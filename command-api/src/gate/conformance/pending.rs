//! Versions, snapshots and the records that are not known to be in the log.

use std::collections::BTreeMap;

use record::envelope::VERSION_AT;

use super::MakeGate;
use super::fixture::*;
use crate::gate::{Intent, LoadedAggregate, Look, Looked, Pending, Refusal, Verdict};

/// Optimistic concurrency, which Kafka does not have.
pub async fn a_version_is_taken_once(make: MakeGate) {
    let shop = Shop::open(make).await;
    let verdicts = shop
        .decide_all(&[change(1, order(9), 0), change(2, order(9), 0)])
        .await;
    assert_eq!(verdicts, [accepted(1, &[]), Verdict::VersionChanged]);
    assert_eq!(
        shop.decide(&change(3, order(9), 5)).await,
        Verdict::VersionChanged
    );
    assert!(matches!(
        shop.decide(&change(4, order(9), 1)).await,
        Verdict::Accepted { .. }
    ));
}

/// Version, snapshot and latest pending record move together.
pub async fn an_aggregate_is_loaded_with_everything_decided(make: MakeGate) {
    let shop = Shop::open(make).await;
    assert_eq!(shop.look(Look::Aggregate(order(9))).await, Looked::Nothing);
    let (first, second) = (change(1, order(9), 0), change(2, order(9), 1));
    let loaded = |version, latest_pending| {
        Looked::Aggregate(LoadedAggregate {
            id: order(9).id,
            version,
            snapshot: format!(r#"{{"version":{version},"bar":"|"}}"#),
            latest_pending,
        })
    };
    shop.decide(&first).await;
    assert_eq!(
        shop.look(Look::Aggregate(order(9))).await,
        loaded(1, Some(id(1)))
    );
    shop.decide(&second).await;
    shop.settle(&settling(&first)).await;
    assert_eq!(
        shop.look(Look::Aggregate(order(9))).await,
        loaded(2, Some(id(2)))
    );
    shop.settle(&settling(&second)).await;
    assert_eq!(shop.look(Look::Aggregate(order(9))).await, loaded(2, None));
}

/// From the latest pending record, the chain of predecessors; and the next version is in the
/// bytes.
pub async fn a_record_names_its_predecessor(make: MakeGate) {
    let shop = Shop::selling(make, 9).await;
    let movements = [
        movement(1, "A", -1),
        movement(2, "A", -1),
        movement(3, "A", -1),
    ];
    shop.decide_all(&movements).await;
    let found = shop
        .gate
        .pending(&shop.current, Some(&[id(3), id(2), id(1)]))
        .await;
    let found = found.expect("it is open");
    let chain: Vec<_> = found.iter().map(|pending| pending.predecessor).collect();
    assert_eq!(chain, [Some(id(2)), Some(id(1)), None]);
    for (pending, version) in found.iter().zip([4_u64, 3, 2]) {
        assert_eq!(
            pending.payload[VERSION_AT],
            *format!("{version:020}").as_bytes()
        );
        let (envelope, body) = record::Envelope::decode(&pending.payload).expect("a record");
        assert_eq!((envelope.id, envelope.version), (pending.record, version));
        assert_eq!(body, r#"{"bar":"|"}"#);
    }
    shop.settle(&settling(&movements[0])).await;
    shop.settle(&settling(&movements[1])).await;
    shop.settle(&settling(&movements[2])).await;
    let next = shop.decide(&movement(4, "A", -1)).await;
    assert_eq!(next, accepted(5, &[("A", 5, 5)]));
}

/// With the bytes that are to be appended.
pub async fn pending_records_are_listed_until_they_are_settled(make: MakeGate) {
    let shop = Shop::open(make).await;
    let commands = [change(1, order(9), 0), change(2, user(8), 0)];
    shop.decide_all(&commands).await;
    let expected = commands.each_ref().map(|command| match &command.intent {
        Intent::Append(append) => Pending {
            record: command.record,
            partition: append.partition,
            payload: append.payload.clone(),
            predecessor: None,
        },
        Intent::Refuse(_) => panic!("it appends"),
    });
    let mut all = shop
        .gate
        .pending(&shop.current, None)
        .await
        .expect("it is open");
    all.sort_by_key(|pending| pending.record);
    assert_eq!(all, expected);
    shop.settle(&settling(&commands[0])).await;
    let rest = shop.gate.pending(&shop.current, None).await;
    assert_eq!(rest.as_deref(), Ok(&expected[1..]));
    let asked = shop
        .gate
        .pending(&shop.current, Some(&[id(1), id(2), id(3)]))
        .await;
    assert_eq!(asked.as_deref(), Ok(&expected[1..]));
}

/// More than one answer holds.
pub async fn many_pending_records_are_listed_once_each(make: MakeGate) {
    let shop = Shop::open(make).await;
    let commands: Vec<_> = (0..3000)
        .map(|record| change(record, order(record), 0))
        .collect();
    shop.decide_all(&commands).await;
    let listed = shop
        .gate
        .pending(&shop.current, None)
        .await
        .expect("it is open");
    let by_record: BTreeMap<_, _> = listed.iter().map(|each| (each.record, each)).collect();
    assert_eq!((listed.len(), by_record.len()), (3000, 3000));
}

/// "Already cancelled" is answered only after the cancel was read back.
pub async fn a_refused_cancel_rests_on_the_cancel_before(make: MakeGate) {
    let shop = Shop::open(make).await;
    let cancel = change(2, order(1), 1);
    shop.commit(&change(1, order(1), 0)).await;
    shop.decide(&cancel).await;
    let again = refused_by_domain(change(3, order(1), 2), Refusal::AlreadyCancelled);
    let refusal = |rests_on, replayed| Verdict::Refused {
        refusal: Refusal::AlreadyCancelled,
        replayed,
        rests_on,
    };
    let again = keyed(again, "k", "f");
    assert_eq!(shop.decide(&again).await, refusal(Some(id(2)), false));
    shop.settle(&settling(&cancel)).await;
    let later = keyed(
        refused_by_domain(change(4, order(1), 2), Refusal::LastAdmin),
        "k",
        "f",
    );
    assert_eq!(shop.decide(&later).await, refusal(Some(id(2)), true));
}

/// Step 1 changes nothing.
pub async fn nothing_changes_by_looking(make: MakeGate) {
    let shop = Shop::selling(make, 5).await;
    let looks = [
        Look::Item(sku("A")),
        Look::Aggregate(item_key("A")),
        Look::Claimed("x".to_owned()),
    ];
    let first = shop.gate.load(&shop.current, &looks).await;
    assert_eq!(first.as_ref().map(|reply| reply.answers.len()), Ok(3));
    assert_eq!(shop.gate.load(&shop.current, &looks).await, first);
}
