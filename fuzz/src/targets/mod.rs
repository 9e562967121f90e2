//! What is read, and what must hold of it.

pub mod access_token;
pub mod audit;
pub mod consistency_token;
pub mod cursor;
pub mod epochs;
pub mod headers;
pub mod import;
pub mod json_body;
pub mod record;
pub mod text;

/// Takes bytes off the front, as many as there are of `N`.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (front, rest) = bytes.split_at(bytes.len().min(N));
    let mut taken = [0; N];
    taken[..front.len()].copy_from_slice(front);
    *bytes = rest;
    taken
}

/// Splits at the first line feed, which no token or header can have.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}
