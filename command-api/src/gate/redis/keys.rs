//! Every key of the gate in Redis, in one place.
//!
//! `{<namespace>}:current` is the pointer to the current epoch. Everything else is one of a fixed
//! handful of keys that start with their epoch, `{<namespace>}:<epoch>:<name>`, so that two epochs
//! never touch each other's data and one `UNLINK` drops an epoch with its marker. A few big
//! hashes, and not a key per thing: they take less memory, and 300 000 decisions are dropped in
//! under a millisecond. All carry the namespace as their hash tag. Nothing ever expires.
//!
//! The scripts know these names by themselves (see `scripts/prelude.lua`).

/// The string that says that an epoch's data is whole; the first key written, and deleted in the
/// same command as any of the others.
pub(super) const MARKER: &str = "marker";
/// Hash: [`GENERATION`], and `tail:<partition>` with the offset where a new tail may start.
pub(super) const META: &str = "meta";
/// Hash: SKU → `available|supplied|A or D|terms version|terms as JSON`.
pub(super) const ITEMS: &str = "items";
/// Hash: `<type>:<id>` → `version|snapshot`.
pub(super) const AGGREGATES: &str = "aggregates";
/// Hash: `<type>:<id>` → the latest pending record's id, where there is one.
pub(super) const LATEST: &str = "latest";
/// Hash: record id → `partition|version|predecessor|payload`.
pub(super) const PENDING: &str = "pending";
/// Hash: claim → its owner's id.
pub(super) const CLAIMS: &str = "claims";
/// Hash: idempotency key → `fingerprint|record|version|aggregate id|position`. The version is
/// missing in a rebuilt entry, the position until the record is settled.
pub(super) const KEYS: &str = "keys";
/// Hashes: `key:<key>` or `record:<id>` → `fingerprint|record|R|rests on|refusal as JSON`, or
/// `|record|A|version` for an accepted command without a key. Generation n is in slot n mod 3.
pub(super) const REFUSALS: [&str; 3] = ["refusals:0", "refusals:1", "refusals:2"];

/// The field of [`META`] with the newest generation of refusals.
pub(super) const GENERATION: &str = "generation";

/// Everything that an epoch has, its marker first.
pub(super) const OF_EPOCH: [&str; 11] = [
    MARKER,
    META,
    ITEMS,
    AGGREGATES,
    LATEST,
    PENDING,
    CLAIMS,
    KEYS,
    REFUSALS[0],
    REFUSALS[1],
    REFUSALS[2],
];

/// The pointer's field with the epoch's number.
pub(super) const POINTER_EPOCH: &str = "epoch";
/// The pointer's field with the scripts' digests by name, as JSON.
pub(super) const POINTER_SCRIPTS: &str = "scripts";
/// The pointer's field with the fences' offsets by partition, as JSON.
pub(super) const POINTER_FENCES: &str = "fences";

/// The keys of one namespace.
#[derive(Debug, Clone)]
pub(super) struct Namespace(String);

impl Namespace {
    /// A namespace of letters, digits, `.`, `_` and `-`, which needs no escaping in a key, a
    /// pattern or a script.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (!text.is_empty() && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The key of the current pointer.
    pub(super) fn pointer(&self) -> String {
        format!("{{{}}}:current", self.0)
    }

    /// What the keys of an epoch begin with.
    pub(super) fn prefix(&self, epoch: u64) -> String {
        format!("{{{}}}:{epoch}:", self.0)
    }

    /// One key of an epoch.
    pub(super) fn key(&self, epoch: u64, name: &str) -> String {
        self.prefix(epoch) + name
    }

    /// The pattern that finds every key of the namespace.
    pub(super) fn pattern(&self) -> String {
        format!("{{{}}}:*", self.0)
    }

    /// The epoch that a key belongs to.
    pub(super) fn epoch_of(&self, key: &str) -> Option<u64> {
        let rest = key.strip_prefix(&format!("{{{}}}:", self.0))?;
        rest.split_once(':')?.0.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_epoch() {
        let namespace = Namespace::parse("shop-1").unwrap();
        assert_eq!(namespace.epoch_of(&namespace.key(7, REFUSALS[1])), Some(7));
        assert_eq!(namespace.epoch_of(&namespace.pointer()), None);
        assert_eq!(namespace.epoch_of("{shop-2}:7:marker"), None);
    }

    #[test]
    fn a_namespace_needs_no_escaping() {
        assert!(Namespace::parse("").is_none());
        assert!(Namespace::parse("a*").is_none());
        assert!(Namespace::parse("a}b").is_none());
    }
}
