//! What people type: addresses, names, SKUs, moments, amounts, ids.
//!
//! What is taken has one form: read again, it is taken as it is. A text never becomes another
//! thing by being read twice.

use domain::email::{Email, EmailHash};
use domain::ids::{OrderId, UserId};
use domain::money::{Currency, Money};
use domain::quantity::{Quantity, SignedQuantity};
use domain::sku::Sku;
use domain::text::{Category, Name, Note, Password, Sealed, Text};
use domain::time::Time;

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(email) = Email::parse(text) {
        let form = email.as_str();
        assert_eq!(Email::parse(form).as_ref(), Ok(&email));
        assert!(
            form.is_ascii() && form == form.to_ascii_lowercase(),
            "{form:?}"
        );
        assert!(form.len() <= Email::LENGTH_MAX);
        // The ASCII domain, as a browser shows it to people, is the same address.
        let (local, domain) = form.split_once('@').expect("an address has one");
        let (shown, errors) = idna::domain_to_unicode(domain);
        assert!(errors.is_ok());
        assert_eq!(Email::parse(&format!("{local}@{shown}")), Ok(email.clone()));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_sku = (1..=64).contains(&text.len())
        && text.bytes().all(plain)
        && text.as_bytes()[0].is_ascii_alphanumeric();
    assert_eq!(Sku::parse(text).is_ok(), is_sku);
    free::<1, 200>(text);
    free::<0, 200>(text);
    free::<1, 100>(text);
    free::<8, 256>(text);
    let _: (
        Option<Name>,
        Option<Note>,
        Option<Category>,
        Option<Password>,
    );
    if let Ok(time) = Time::parse(text) {
        assert_eq!(Time::parse(&time.to_string()), Ok(time));
        assert_eq!(Time::from_microseconds(time.microseconds()), time);
    }
    if let Ok(id) = text.parse::<OrderId>() {
        assert_eq!(id.to_string(), text, "an id has one spelling");
        assert_eq!(
            text.parse::<UserId>().map(|id| id.to_string()),
            Ok(text.to_owned())
        );
    }
    if let Ok(currency) = Currency::parse(text) {
        assert_eq!(currency.to_string(), text);
    }
    let _ = (EmailHash::parse(text), Sealed::parse(text));
    numbers(text);
}

fn free<const MIN: usize, const MAX: usize>(text: &str) {
    if let Ok(read) = Text::<MIN, MAX>::parse(text) {
        assert_eq!(Text::parse(read.as_str()), Ok(read.clone()), "NFC of NFC");
        assert!((MIN..=MAX).contains(&read.as_str().chars().count()));
        assert!(!read.as_str().chars().any(char::is_control));
    }
}

fn numbers(json: &str) {
    if let Ok(quantity) = serde_json::from_str::<Quantity>(json) {
        assert_eq!(Quantity::new(quantity.get()), Ok(quantity));
    }
    if let Ok(quantity) = serde_json::from_str::<SignedQuantity>(json) {
        assert_eq!(SignedQuantity::new(quantity.get()), Ok(quantity));
    }
    if let Ok(money) = serde_json::from_str::<Money>(json) {
        let again = serde_json::to_string(&money).expect("it is JSON");
        assert_eq!(serde_json::from_str::<Money>(&again).ok(), Some(money));
        if let (Some(double), Ok(two)) = (money.plus(money), Quantity::new(2)) {
            assert_eq!(money.times(two), Some(double));
        }
    }
}
