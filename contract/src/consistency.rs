//! Consistency tokens: a write names where it stands in the log, a read waits until it is seen.
//!
//! A token is plain data (log id and positions) and authenticated, so that nobody can make a read
//! wait for a place that does not exist. It is opaque to clients.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use personal_data::MacKey;
use record::{Partition, Position, Topic};
use uuid::Uuid;

use crate::{Problem, headers};

/// How long a read waits where the client does not say.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(2);
/// The longest wait; a longer one asked for counts as this.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// The layout of the bytes of a token.
const VERSION: u8 = 1;
const LABEL: &str = "consistency-token";
const TAG_LENGTH: usize = 16;
/// Topic, partition and offset.
const POSITION_LENGTH: usize = 1 + 2 + 8;

/// Makes and reads the tokens of one log.
#[derive(Debug, Clone)]
pub struct ConsistencyTokens {
    key: MacKey,
    log_id: Uuid,
}

impl ConsistencyTokens {
    /// With the key for opaque tokens of the secrets file and the id of the log's first claim.
    pub fn new(key: MacKey, log_id: Uuid) -> Self {
        Self { key, log_id }
    }

    /// The token of a write that stands at these positions.
    pub fn issue(&self, positions: impl IntoIterator<Item = Position>) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.log_id.as_bytes());
        for position in highest(positions) {
            bytes.push(topic_number(position.partition.topic));
            bytes.extend(position.partition.number.to_be_bytes());
            bytes.extend(position.offset.to_be_bytes());
        }
        let tag = self.key.tag(LABEL, &[&bytes]);
        bytes.extend(&tag[..TAG_LENGTH]);
        BASE64.encode(bytes)
    }

    /// What a read must have seen, as its headers say: the highest position of each partition.
    /// Empty: what is known now will do.
    ///
    /// # Errors
    /// 400 when a token was not issued for this log.
    pub fn positions(&self, headers: &HeaderMap) -> Result<Vec<Position>, Problem> {
        let mut positions = Vec::new();
        for value in headers.get_all(headers::CONSISTENCY_TOKEN) {
            let text = value
                .to_str()
                .map_err(|_| Problem::foreign_consistency_token())?;
            for token in text
                .split(',')
                .map(str::trim)
                .filter(|token| !token.is_empty())
            {
                positions.extend(
                    self.read(token)
                        .ok_or_else(Problem::foreign_consistency_token)?,
                );
            }
        }
        Ok(highest(positions))
    }

    /// The positions of one token; `None` unless it was issued for this log.
    fn read(&self, token: &str) -> Option<Vec<Position>> {
        let bytes = BASE64.decode(token).ok()?;
        let (plain, tag) = bytes.split_last_chunk::<TAG_LENGTH>()?;
        if !self.key.verify(LABEL, &[plain], tag) {
            return None;
        }
        let positions = plain
            .strip_prefix(&[VERSION])?
            .strip_prefix(self.log_id.as_bytes())?;
        positions
            .chunks(POSITION_LENGTH)
            .map(read_position)
            .collect()
    }
}

fn read_position(bytes: &[u8]) -> Option<Position> {
    let (topic, rest) = bytes.split_first()?;
    let (number, offset) = rest.split_first_chunk()?;
    let partition = Partition {
        topic: topic_of(*topic)?,
        number: u16::from_be_bytes(*number),
    };
    Some(Position {
        partition,
        offset: u64::from_be_bytes(offset.try_into().ok()?),
    })
}

/// The highest position of each partition: it implies the lower ones.
fn highest(positions: impl IntoIterator<Item = Position>) -> Vec<Position> {
    let mut highest = BTreeMap::<Partition, u64>::new();
    for Position { partition, offset } in positions {
        let known = highest.entry(partition).or_default();
        *known = offset.max(*known);
    }
    highest
        .into_iter()
        .map(|(partition, offset)| Position { partition, offset })
        .collect()
}

/// Never change a number: tokens that are under way would name another topic. Who reads tokens has to
/// know a topic before who writes them names it: query-api is updated first.
const TOPICS: [(Topic, u8); 4] = [
    (Topic::Users, 1),
    (Topic::Orders, 2),
    (Topic::Inventory, 3),
    (Topic::UserKeys, 4),
];

fn topic_number(topic: Topic) -> u8 {
    TOPICS
        .iter()
        .find(|(known, _)| *known == topic)
        .map_or(0, |(_, number)| *number)
}

fn topic_of(number: u8) -> Option<Topic> {
    TOPICS
        .iter()
        .find(|(_, known)| *known == number)
        .map(|(topic, _)| *topic)
}

/// How long a read may wait for what it must have seen: the first `wait` of `Prefer` (RFC 7240), whose
/// other preferences are ignored as it says.
///
/// # Errors
/// 400 when it is not a number.
pub fn wait(headers: &HeaderMap) -> Result<Duration, Problem> {
    for value in headers.get_all(headers::PREFER) {
        for preference in value.to_str().unwrap_or_default().split(',') {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            if name.trim().eq_ignore_ascii_case("wait") {
                return seconds(value.trim().trim_matches('"'));
            }
        }
    }
    Ok(WAIT_DEFAULT)
}

fn seconds(text: &str) -> Result<Duration, Problem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let why = "wait is a whole number of seconds, such as wait=2.";
        return Err(Problem::malformed_header(&headers::PREFER, why));
    }
    // Only a number too large for a u64 fails here.
    let seconds = text.parse().unwrap_or(u64::MAX);
    Ok(Duration::from_secs(seconds).min(WAIT_MAX))
}
