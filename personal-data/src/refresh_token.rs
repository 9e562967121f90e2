//! Refresh tokens: nothing of them is stored, for they can be made again.
//!
//! A token is base64url of user, session, counter and a keyed hash over the three. Whether the
//! session lives and which counter is the newest is the domain's to say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use domain::ids::{SessionId, UserId};
use uuid::Uuid;

use crate::MacKey;

/// Authenticated with every token. Never change it: every session would end.
const LABEL: &str = "refresh-token";
/// User and session, 16 bytes each, and the counter.
const PLAIN_LENGTH: usize = 16 + 16 + 8;
const TAG_LENGTH: usize = 32;

/// What a refresh token says, once its authenticity is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// Whose it is.
    pub user_id: UserId,
    /// The session that it keeps alive.
    pub session_id: SessionId,
    /// Its number in the session, from 1.
    pub counter: u64,
}

impl RefreshToken {
    /// The text that the client holds. The same token always has the same text, so that an
    /// answer that was lost can be given again.
    pub(crate) fn encode(&self, key: &MacKey) -> String {
        let plain = self.plain();
        BASE64.encode([plain.as_slice(), &key.tag(LABEL, &[&plain])].concat())
    }

    /// Reads a client's text; `None` unless it was made with this key.
    pub(crate) fn decode(key: &MacKey, text: &str) -> Option<Self> {
        let bytes = <[u8; PLAIN_LENGTH + TAG_LENGTH]>::try_from(BASE64.decode(text).ok()?).ok()?;
        let (plain, tag) = bytes.split_first_chunk::<PLAIN_LENGTH>()?;
        if !key.verify(LABEL, &[plain], tag) {
            return None;
        }
        let (user, rest) = plain.split_first_chunk::<16>()?;
        let (session, counter) = rest.split_first_chunk::<16>()?;
        Some(Self {
            user_id: UserId(Uuid::from_bytes(*user)),
            session_id: SessionId(Uuid::from_bytes(*session)),
            counter: u64::from_be_bytes(counter.try_into().ok()?),
        })
    }

    fn plain(&self) -> Vec<u8> {
        let counter = self.counter.to_be_bytes();
        [
            self.user_id.0.as_bytes(),
            self.session_id.0.as_bytes(),
            counter.as_slice(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> RefreshToken {
        RefreshToken {
            user_id: UserId(Uuid::from_u128(1)),
            session_id: SessionId(Uuid::from_u128(2)),
            counter: 3,
        }
    }

    #[test]
    fn a_token_says_what_it_was_made_of_and_always_in_the_same_text() {
        let key = MacKey::new([1; 32]);
        let text = token().encode(&key);
        assert_eq!(text, token().encode(&key));
        assert_eq!(RefreshToken::decode(&key, &text), Some(token()));
    }

    #[test]
    fn no_byte_of_a_token_can_be_changed() {
        let key = MacKey::new([1; 32]);
        let bytes = BASE64.decode(token().encode(&key)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(
                RefreshToken::decode(&key, &BASE64.encode(changed)),
                None,
                "byte {at}"
            );
        }
    }

    #[test]
    fn what_is_no_token_or_of_another_key_is_refused() {
        let key = MacKey::new([1; 32]);
        let text = token().encode(&key);
        assert_eq!(RefreshToken::decode(&MacKey::new([2; 32]), &text), None);
        for bad in [
            "",
            "a",
            "ä",
            &text[1..],
            &format!("{text}AA"),
            &format!("{text}="),
        ] {
            assert_eq!(RefreshToken::decode(&key, bad), None, "{bad:?}");
        }
    }
}
