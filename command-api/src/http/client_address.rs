//! The address that a request comes from, for limits: the peer's, or the one that a trusted proxy
//! names (report R25).
//!
//! Every proxy appends the address that it was asked from to `X-Forwarded-For`, so the entries
//! are believed from the right, as long as each was written by a proxy that is trusted. What
//! stands further left was made up by anybody.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use contract::Problem;
use domain::Invalid;

use super::Api;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A block of addresses, such as `10.0.0.0/8`, or a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same_beginning = |ours: u128, theirs: u128, bits: u8| {
            // A shift by all bits would overflow: a prefix of 0 has everything in it.
            let shift = u32::from(bits - self.prefix);
            ours.checked_shr(shift) == theirs.checked_shr(shift)
        };
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same_beginning(u32::from(ours).into(), u32::from(theirs).into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                same_beginning(ours.into(), theirs.into(), 128)
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("A proxy is an IP address or a block such as 10.0.0.0/8.");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let whole = Self::from(address.parse::<IpAddr>().map_err(|_| invalid())?);
        let prefix = prefix.map_or(Ok(whole.prefix), str::parse);
        match prefix {
            Ok(prefix) if prefix <= whole.prefix => Ok(Self { prefix, ..whole }),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The address whose failed log-ins are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl<S> FromRequestParts<S> for ClientAddress
where
    S: Send + Sync,
    Api: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // A server that does not say who its peers are has them share one budget.
        let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        let trusted = &Api::from_ref(state).0.trusted_proxies;
        Ok(Self(client(peer.to_canonical(), &parts.headers, trusted)))
    }
}

/// The first address from the right that is no trusted proxy's, or the last that is.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut entries = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    while is_trusted(client) {
        match entries.next().and_then(|entry| address(entry.trim())) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// An entry, with or without a port.
fn address(entry: &str) -> Option<IpAddr> {
    let with_port = || entry.parse::<SocketAddr>().map(|address| address.ip());
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().or_else(|_| with_port()).ok()?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted: Vec<_> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn without_a_trusted_proxy_the_header_is_not_believed() {
        assert_eq!(client_of("192.0.2.1", &["198.51.100.1"], &[]), "192.0.2.1");
        assert_eq!(
            client_of("192.0.2.1", &["198.51.100.1"], &["10.0.0.0/8"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_other_address_counts() {
        let client = |forwarded: &[&str]| client_of("10.0.0.1", forwarded, &["10.0.0.0/8", "::1"]);
        assert_eq!(client(&["203.0.113.9, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            client(&["203.0.113.9, 198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(
            client(&["203.0.113.9", "198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(client(&["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client(&["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client(&["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client(&["::ffff:198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn what_no_proxy_would_write_leaves_the_proxy_itself() {
        let client = |forwarded: &[&str]| client_of("10.0.0.1", forwarded, &["10.0.0.0/8"]);
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(client(&["198.51.100.1,"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn a_network_is_an_address_or_a_block() {
        let contains = |network: &str, address: &str| {
            network
                .parse::<Network>()
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(contains("192.0.2.0/24", "192.0.2.255"));
        assert!(!contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("::/0", "192.0.2.1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(!contains("192.0.2.1", "192.0.2.2"));
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "proxy",
            "10.0.0.0/8/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
