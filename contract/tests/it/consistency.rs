use std::time::Duration;

use axum::http::HeaderMap;
use contract::consistency::{self, ConsistencyTokens, WAIT_DEFAULT};
use contract::{Problem, headers};
use personal_data::MacKey;
use record::{Partition, Position, Topic};
use uuid::Uuid;

fn tokens(log: u128) -> ConsistencyTokens {
    ConsistencyTokens::new(MacKey::new([1; 32]), Uuid::from_u128(log))
}

fn at(topic: Topic, number: u16, offset: u64) -> Position {
    Position {
        partition: Partition { topic, number },
        offset,
    }
}

fn ask(tokens: &[&str]) -> Result<Vec<Position>, Problem> {
    let mut sent = HeaderMap::new();
    for token in tokens {
        sent.append(headers::CONSISTENCY_TOKEN, token.parse().unwrap());
    }
    self::tokens(1).positions(&sent)
}

#[test]
fn a_token_names_the_highest_position_of_each_partition() {
    let written = [
        at(Topic::Inventory, 2, 7),
        at(Topic::Users, 0, 0),
        at(Topic::Inventory, 2, u64::MAX),
        at(Topic::Orders, u16::MAX, 1),
    ];
    let token = tokens(1).issue(written);
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    assert!(token.bytes().all(safe), "{token}");
    let expected = [
        at(Topic::Users, 0, 0),
        at(Topic::Orders, u16::MAX, 1),
        at(Topic::Inventory, 2, u64::MAX),
    ];
    assert_eq!(ask(&[&token]).unwrap(), expected);
}

#[test]
fn several_tokens_count_all_in_one_header_or_more() {
    let (first, second) = (
        tokens(1).issue([at(Topic::Orders, 0, 5)]),
        tokens(1).issue([at(Topic::Orders, 0, 9)]),
    );
    let highest = [at(Topic::Orders, 0, 9)];
    let joined = format!("{first} , {second}");
    assert_eq!(ask(&[&joined]).unwrap(), highest);
    assert_eq!(ask(&[&second, &first]).unwrap(), highest);
    assert_eq!(ask(&[]).unwrap(), []);
}

#[test]
fn a_token_that_was_not_issued_for_this_log_is_a_400() {
    let good = tokens(1).issue([at(Topic::Orders, 0, 5)]);
    let other_log = tokens(2).issue([at(Topic::Orders, 0, 5)]);
    let other_secrets = ConsistencyTokens::new(MacKey::new([2; 32]), Uuid::from_u128(1))
        .issue([at(Topic::Orders, 0, 5)]);
    let both = format!("{good},{other_log}");
    let changed = good.replace(&good[30..31], if &good[30..31] == "A" { "B" } else { "A" });
    let cut = &good[..good.len() - 1];
    for bad in [
        &other_log,
        &other_secrets,
        &both,
        &changed,
        cut,
        "x",
        "%",
        "null",
    ] {
        let refused = ask(&[bad]).unwrap_err();
        assert_eq!(
            refused.code().as_str(),
            "foreign-consistency-token",
            "{bad}"
        );
    }
}

#[test]
fn a_client_may_say_how_long_to_wait() {
    let wait = |prefer: &[&str]| {
        let mut sent = HeaderMap::new();
        for preference in prefer {
            sent.append(headers::PREFER, preference.parse().unwrap());
        }
        consistency::wait(&sent)
    };
    let seconds = Duration::from_secs;
    assert_eq!(wait(&[]).unwrap(), WAIT_DEFAULT);
    assert_eq!(wait(&["respond-async"]).unwrap(), WAIT_DEFAULT);
    assert_eq!(wait(&["wait=0"]).unwrap(), seconds(0));
    assert_eq!(wait(&["Wait = \"5\""]).unwrap(), seconds(5));
    assert_eq!(wait(&["respond-async, wait=3; x=y"]).unwrap(), seconds(3));
    assert_eq!(wait(&["respond-async", "wait=4"]).unwrap(), seconds(4));
    assert_eq!(
        wait(&["wait=11"]).unwrap(),
        seconds(10),
        "a longer wait counts as 10"
    );
    assert_eq!(
        wait(&["wait=99999999999999999999999"]).unwrap(),
        seconds(10)
    );
    for bad in ["wait=", "wait", "wait=-1", "wait=1.5", "wait=soon"] {
        assert_eq!(
            wait(&[bad]).unwrap_err().code().as_str(),
            "malformed-header",
            "{bad}"
        );
    }
}
