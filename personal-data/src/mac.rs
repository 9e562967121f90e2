//! HMAC-SHA-256 over labelled parts, so that no two uses of a key can be taken for each other.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::personal_key::KeyBytes;

/// A key for keyed hashes. Cannot be printed; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MacKey([u8; 32]);

impl MacKey {
    /// A key of these bytes, which must be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new random key.
    pub fn random() -> Self {
        Self(KeyBytes::random().0)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of the parts under a label. Every part is preceded by its length: moving a byte
    /// from one part to the next gives another hash.
    pub fn tag(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(label, parts).finalize().into_bytes().into()
    }

    /// The first 16 bytes of [`Self::tag`] as 32 hexadecimal digits.
    pub fn short_tag(&self, label: &str, parts: &[&[u8]]) -> String {
        hex(&self.tag(label, parts)[..16])
    }

    /// Whether `tag` is the hash of the parts, or its beginning; compared in constant time. A tag
    /// of less than 16 bytes is never accepted.
    pub fn verify(&self, label: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        tag.len() >= 16 && self.mac(label, parts).verify_truncated_left(tag).is_ok()
    }

    fn mac(&self, label: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key length");
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(redacted)")
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_moved_between_parts_gives_another_hash() {
        let key = MacKey::new([1; 32]);
        assert_ne!(key.tag("l", &[b"ab", b"c"]), key.tag("l", &[b"a", b"bc"]));
        assert_ne!(key.tag("l", &[b"ab"]), key.tag("la", &[b"b"]));
        assert_ne!(key.tag("l", &[b"a", b""]), key.tag("l", &[b"a"]));
    }

    #[test]
    fn a_tag_that_was_cut_too_short_is_refused() {
        let key = MacKey::new([1; 32]);
        let tag = key.tag("l", &[b"a"]);
        assert!(key.verify("l", &[b"a"], &tag));
        assert!(key.verify("l", &[b"a"], &tag[..16]));
        assert!(!key.verify("l", &[b"a"], &tag[..15]));
        assert!(!key.verify("l", &[b"a"], &[]));
        assert!(!MacKey::new([2; 32]).verify("l", &[b"a"], &tag));
    }

    #[test]
    fn a_key_cannot_be_printed() {
        assert_eq!(format!("{:?}", MacKey::new([7; 32])), "MacKey(redacted)");
    }
}
