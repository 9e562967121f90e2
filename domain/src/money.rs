//! Integer minor units plus currency. No floats, no rounding.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;
use crate::{Invalid, serde_by_text};

/// An ISO 4217 currency code: three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// # Errors
    /// When it is not three capital letters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(Invalid::new("A currency is an ISO 4217 code such as EUR.")),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("three ASCII letters"))
    }
}

serde_by_text!(Currency);

/// The largest total: 2^53 − 1, what every JSON reader holds exactly.
pub const TOTAL_MAX: i64 = (1 << 53) - 1;
/// The largest price of one unit: 10^12 minor units.
pub const PRICE_MAX: i64 = 1_000_000_000_000;

/// An amount in minor units of a currency, 0 to 2^53 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawMoney")]
pub struct Money {
    amount: i64,
    currency: Currency,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMoney {
    amount: i64,
    currency: Currency,
}

impl TryFrom<RawMoney> for Money {
    type Error = Invalid;
    fn try_from(raw: RawMoney) -> Result<Self, Invalid> {
        Self::total(raw.amount, raw.currency)
    }
}

impl Money {
    /// A price of one unit: 0 to 10^12 minor units.
    ///
    /// # Errors
    /// When the amount is outside that range.
    pub fn price(amount: i64, currency: Currency) -> Result<Self, Invalid> {
        if (0..=PRICE_MAX).contains(&amount) {
            return Ok(Self { amount, currency });
        }
        Err(Invalid::new(
            "A price must be a whole number of minor units from 0 to 1000000000000.",
        ))
    }

    /// Any amount: 0 to 2^53 − 1 minor units.
    ///
    /// # Errors
    /// When the amount is outside that range.
    pub fn total(amount: i64, currency: Currency) -> Result<Self, Invalid> {
        if (0..=TOTAL_MAX).contains(&amount) {
            return Ok(Self { amount, currency });
        }
        Err(Invalid::new(
            "An amount must be from 0 to 9007199254740991 minor units.",
        ))
    }

    /// The amount in minor units.
    pub fn amount(self) -> i64 {
        self.amount
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// This price for so many units; `None` beyond 2^53 − 1.
    pub fn times(self, quantity: Quantity) -> Option<Self> {
        let amount = self.amount.checked_mul(quantity.get())?;
        Self::total(amount, self.currency).ok()
    }

    /// The sum; `None` beyond 2^53 − 1 or across currencies.
    pub fn plus(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        Self::total(self.amount.checked_add(other.amount)?, self.currency).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eur(amount: i64) -> Money {
        Money::total(amount, Currency::parse("EUR").unwrap()).unwrap()
    }

    #[test]
    fn totals_stop_at_what_json_holds() {
        assert_eq!(eur(TOTAL_MAX).plus(eur(1)), None);
        assert_eq!(
            eur(PRICE_MAX).times(Quantity::new(1_000_000).unwrap()),
            None
        );
        assert_eq!(eur(1999).times(Quantity::new(3).unwrap()), Some(eur(5997)));
    }

    #[test]
    fn currencies_do_not_mix() {
        let jpy = Money::total(1, Currency::parse("JPY").unwrap()).unwrap();
        assert_eq!(eur(1).plus(jpy), None);
        assert!(Currency::parse("eur").is_err());
    }
}
