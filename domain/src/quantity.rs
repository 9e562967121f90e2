//! Numbers of units: never zero, never absurd.

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Units in one order line: 1–1 000 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Quantity(u32);

/// The most units in one order line or one stock movement.
pub const QUANTITY_MAX: i64 = 1_000_000;

/// The most units of one SKU that may ever be supplied.
pub const SUPPLIED_MAX: i64 = 1_000_000_000_000;

impl Quantity {
    /// # Errors
    /// When it is not 1–1 000 000.
    pub fn new(units: i64) -> Result<Self, Invalid> {
        match u32::try_from(units) {
            Ok(units) if units >= 1 && i64::from(units) <= QUANTITY_MAX => Ok(Self(units)),
            _ => Err(Invalid::new(
                "A quantity must be a whole number from 1 to 1000000.",
            )),
        }
    }

    /// The units, 1–1 000 000.
    pub fn get(self) -> i64 {
        i64::from(self.0)
    }
}

impl TryFrom<i64> for Quantity {
    type Error = Invalid;
    fn try_from(units: i64) -> Result<Self, Invalid> {
        Self::new(units)
    }
}

impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> i64 {
        quantity.get()
    }
}

/// Units that a stock movement adds (positive) or takes (negative): ±1–1 000 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct SignedQuantity(i32);

impl SignedQuantity {
    /// # Errors
    /// When it is zero or beyond ±1 000 000.
    pub fn new(units: i64) -> Result<Self, Invalid> {
        match i32::try_from(units) {
            Ok(signed) if signed != 0 && units.abs() <= QUANTITY_MAX => Ok(Self(signed)),
            _ => Err(Invalid::new(
                "A movement's quantity must be a whole number from -1000000 to 1000000, not 0.",
            )),
        }
    }

    /// The signed units.
    pub fn get(self) -> i64 {
        i64::from(self.0)
    }
}

impl From<Quantity> for SignedQuantity {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.0.cast_signed())
    }
}

impl TryFrom<i64> for SignedQuantity {
    type Error = Invalid;
    fn try_from(units: i64) -> Result<Self, Invalid> {
        Self::new(units)
    }
}

impl From<SignedQuantity> for i64 {
    fn from(quantity: SignedQuantity) -> i64 {
        quantity.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_never_zero_and_never_absurd() {
        assert!(Quantity::new(1).is_ok());
        assert!(Quantity::new(1_000_000).is_ok());
        for bad in [0, -1, 1_000_001, i64::MAX, i64::MIN] {
            assert!(Quantity::new(bad).is_err());
        }
        for bad in [0, -1_000_001, 1_000_001, i64::MAX, i64::MIN] {
            assert!(SignedQuantity::new(bad).is_err());
        }
    }
}
