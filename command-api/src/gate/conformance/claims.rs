//! Unique claims: taken when decided, given up when settled, each with its owner.

use super::MakeGate;
use super::fixture::*;
use crate::gate::{Look, Looked, Refusal, Settle, Verdict};

const EMAIL: &str = "email:0123";

/// Two registrations at once: one gets the address.
pub async fn a_claim_is_taken_when_it_is_decided(make: MakeGate) {
    let shop = Shop::open(make).await;
    let verdicts = shop
        .decide_all(&[register(1, EMAIL), register(2, EMAIL)])
        .await;
    assert_eq!(verdicts[0], accepted(1, &[]));
    assert!(matches!(
        verdicts[1],
        Verdict::Refused {
            refusal: Refusal::EmailTaken,
            ..
        }
    ));
    assert_eq!(shop.look(Look::Aggregate(user(2))).await, Looked::Nothing);
}

/// "E-mail taken" is a fact about an aggregate: that record must be read back first.
pub async fn a_taken_claim_is_refused_with_the_record_that_it_rests_on(make: MakeGate) {
    let shop = Shop::open(make).await;
    let first = register(1, EMAIL);
    shop.decide(&first).await;
    let taken = |rests_on| Verdict::Refused {
        refusal: Refusal::EmailTaken,
        replayed: false,
        rests_on,
    };
    assert_eq!(shop.decide(&register(2, EMAIL)).await, taken(Some(id(1))));
    shop.settle(&settling(&first)).await;
    assert_eq!(shop.decide(&register(3, EMAIL)).await, taken(None));
}

/// A log-in finds its user, pending or not.
pub async fn a_claim_finds_its_user(make: MakeGate) {
    let shop = Shop::open(make).await;
    let look = || Look::Claimed(EMAIL.to_owned());
    assert_eq!(shop.look(look()).await, Looked::Nothing);
    let registration = register(1, EMAIL);
    shop.decide(&registration).await;
    for latest in [Some(id(1)), None] {
        match shop.look(look()).await {
            Looked::Aggregate(loaded) => {
                assert_eq!((loaded.id, loaded.version), (user(1).id, 1));
                assert_eq!(loaded.latest_pending, latest);
            }
            other => panic!("{other:?}"),
        }
        shop.settle(&settling(&registration)).await;
    }
}

/// Until the change of address is in the log, both addresses are taken.
pub async fn a_claim_is_given_up_when_it_is_settled(make: MakeGate) {
    let shop = Shop::open(make).await;
    shop.commit(&register(1, EMAIL)).await;
    let claims = [claimed("email:new", &user(1)), claimed(EMAIL, &user(1))];
    let moving = appended(change(2, user(1), 1), |append| {
        append.claims = claims[..1].to_vec()
    });
    shop.decide(&moving).await;
    for (record, address) in [(3, EMAIL), (4, "email:new")] {
        let taken = shop.decide(&register(record, address)).await;
        assert!(matches!(
            taken,
            Verdict::Refused {
                refusal: Refusal::EmailTaken,
                ..
            }
        ));
    }
    let given_up = Settle {
        claims_given_up: claims[1..].to_vec(),
        ..settling(&moving)
    };
    shop.settle(&given_up).await;
    assert_eq!(shop.decide(&register(5, EMAIL)).await, accepted(1, &[]));
}

/// A late settlement of one user does not free another one's address.
pub async fn only_the_owner_gives_a_claim_up(make: MakeGate) {
    let shop = Shop::open(make).await;
    shop.commit(&register(1, EMAIL)).await;
    let other = change(2, user(2), 0);
    shop.decide(&other).await;
    let given_up = Settle {
        claims_given_up: vec![claimed(EMAIL, &user(2))],
        ..settling(&other)
    };
    shop.settle(&given_up).await;
    assert!(matches!(
        shop.look(Look::Claimed(EMAIL.to_owned())).await,
        Looked::Aggregate(_)
    ));
}
