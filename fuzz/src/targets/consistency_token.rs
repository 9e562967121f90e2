//! Consistency tokens and `Prefer`, which clients send.
//!
//! The first line is sent as they are. What was issued is read back as the highest position of
//! each partition, and is refused where one character of it was changed, or for another log.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue};
use contract::consistency::{self, WAIT_MAX};
use contract::{ConsistencyTokens, headers};
use personal_data::MacKey;
use record::{Partition, Position, Topic};
use uuid::Uuid;

use super::cursor::tampered;
use super::{split, take};

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let tokens = |log| ConsistencyTokens::new(MacKey::new([1; 32]), Uuid::from_u128(log));
    let (text, mut rest) = split(bytes);
    if let Ok(value) = HeaderValue::from_bytes(text) {
        let mut sent = HeaderMap::new();
        sent.insert(headers::CONSISTENCY_TOKEN, value.clone());
        sent.append(headers::PREFER, value);
        drop(tokens(1).positions(&sent));
        if let Ok(wait) = consistency::wait(&sent) {
            assert!(wait <= WAIT_MAX);
        }
    }
    let flipped = u16::from_be_bytes(take(&mut rest));
    let mut positions = Vec::new();
    while !rest.is_empty() && positions.len() < 8 {
        let [topic, number] = take(&mut rest);
        positions.push(Position {
            partition: Partition {
                topic: Topic::OF_RECORD[usize::from(topic) % 3],
                number: number.into(),
            },
            offset: u64::from_be_bytes(take(&mut rest)),
        });
    }
    let mut highest = BTreeMap::new();
    for position in &positions {
        let known = highest.entry(position.partition).or_insert(position.offset);
        *known = position.offset.max(*known);
    }
    let token = tokens(1).issue(positions);
    let read = |log, token: &str| {
        let mut sent = HeaderMap::new();
        let value = HeaderValue::from_str(token).expect("a token is visible ASCII");
        sent.insert(headers::CONSISTENCY_TOKEN, value);
        tokens(log).positions(&sent)
    };
    let read_back = read(1, &token).expect("it was issued");
    let seen: BTreeMap<_, _> = (read_back.iter())
        .map(|seen| (seen.partition, seen.offset))
        .collect();
    assert_eq!(seen, highest);
    assert_eq!(tokens(1).issue(read_back), token);
    assert!(read(2, &token).is_err(), "of another log");
    assert!(read(1, &tampered(&token, flipped)).is_err(), "changed");
}
