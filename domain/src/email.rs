//! E-mail addresses: one person, one spelling.

use std::fmt;

use crate::{Invalid, serde_by_text};

/// An e-mail address in the form in which addresses are compared: lower case, the domain in its
/// ASCII (IDNA) form. Spellings that only look alike are refused, never mapped silently.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// The longest address, in characters (RFC 5321's path limit).
    pub const LENGTH_MAX: usize = 254;
    /// The longest part before the `@` (RFC 5321).
    pub const LOCAL_LENGTH_MAX: usize = 64;

    /// Checks and normalises an address.
    ///
    /// # Errors
    /// One sentence that says what to change.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > Self::LENGTH_MAX * 4 || text.chars().count() > Self::LENGTH_MAX {
            return Err(Invalid::new(
                "An e-mail address has at most 254 characters.",
            ));
        }
        let malformed =
            || Invalid::new("This is not an e-mail address; write it as name@example.com.");
        let (local, domain) = text.rsplit_once('@').ok_or_else(malformed)?;
        if local.len() > Self::LOCAL_LENGTH_MAX {
            return Err(Invalid::new(
                "The part before the @ has at most 64 characters.",
            ));
        }
        // RFC 5322's dot-atom, ASCII only: quoted and Unicode local parts have spellings that
        // look alike (R16 of the field reports), so they are not taken.
        let atom = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&b))
        };
        if !local.split('.').all(atom) {
            return Err(malformed());
        }
        let domain = ascii_domain(domain).ok_or_else(malformed)?;
        let address = format!("{}@{domain}", local.to_ascii_lowercase());
        if address.len() > Self::LENGTH_MAX {
            return Err(Invalid::new(
                "An e-mail address has at most 254 characters.",
            ));
        }
        Ok(Self(address))
    }

    /// The normalised address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ASCII form of a domain, or `None` where IDNA would map anything but case: invisible
/// characters, full-width letters, the Kelvin sign.
fn ascii_domain(domain: &str) -> Option<String> {
    let becomes_ascii = |c: char| !c.is_ascii() && c.to_lowercase().any(|l| l.is_ascii());
    if domain.chars().any(becomes_ascii) {
        return None;
    }
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let (unicode, result) = idna::domain_to_unicode(&ascii);
    result.ok()?;
    let lower = domain.to_lowercase();
    if lower != unicode && lower != ascii {
        return None;
    }
    // What a browser shows of it has to be an address, too, and the same one: not so where a letter's
    // lower case is another letter to IDNA (found by fuzzing, in Cherokee).
    let shown_again = idna::domain_to_ascii_strict(&unicode).ok()?;
    if shown_again != ascii || unicode.to_lowercase() != unicode {
        return None;
    }
    let label =
        |l: &str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-');
    ascii.split('.').all(label).then_some(ascii)
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_by_text!(Email);

/// A keyed hash of a normalised address: the unique claim on it. Opaque; 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmailHash(String);

impl EmailHash {
    /// # Errors
    /// When it is not 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new("An e-mail hash has 64 hexadecimal digits."))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EmailHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_by_text!(EmailHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count_and_the_domain_is_ascii() {
        assert_eq!(
            Email::parse("Kim@Shop.Example").unwrap().as_str(),
            "kim@shop.example"
        );
        assert_eq!(
            Email::parse("a+b@MÜLLER.example"),
            Email::parse("A+b@xn--mller-kva.example")
        );
    }

    #[test]
    fn spellings_that_look_alike_are_refused() {
        for bad in [
            "a@xn--0beeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeaabababaabPm",
            "\u{212A}im@shop.example",
            "k\u{131}m@shop.example",
            "kim@shop\u{200B}.example",
            "ki\u{200B}m@shop.example",
            "kim\u{A0}@shop.example",
            "kim\u{FF20}shop.example",
            " kim@shop.example",
            "kim@shop.example ",
            "kim@shop.example.",
            "kim@s\u{FF48}op.example",
            "kim@\u{212A}shop.example",
            "kim@shop..example",
            "kim@-shop.example",
            "\"kim\"@shop.example",
            "kim",
            "@shop.example",
            "kim@",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_limited_to_64_and_254() {
        let domain = format!(
            "{}.{}.{}.example",
            "d".repeat(60),
            "e".repeat(60),
            "f".repeat(60)
        );
        let longest = format!("{}@{domain}", "a".repeat(254 - 1 - domain.len()));
        assert_eq!(longest.len(), 254);
        assert!(Email::parse(&longest).is_ok());
        assert!(Email::parse(&format!("a{longest}")).is_err());
        assert!(Email::parse(&format!("{}@x.example", "a".repeat(64))).is_ok());
        assert!(Email::parse(&format!("{}@x.example", "a".repeat(65))).is_err());
    }
}
