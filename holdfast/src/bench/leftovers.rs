//! What a run could not take away again, so that a person can: removing goes on behind whatever
//! fails.

use std::fmt::{Debug, Display};

use anyhow::{Result, bail};

/// What is left behind so far.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Vec<String>);

impl Leftovers {
    /// Notes what could not be removed, if it could not.
    pub(super) fn unless<E: Display + Debug>(
        &mut self,
        removed: std::result::Result<(), E>,
        what: impl Display,
    ) {
        if let Err(error) = removed {
            self.0.push(format!("{what} ({error:#})"));
        }
    }

    /// # Errors
    /// One sentence that names everything that is left behind.
    pub(super) fn told(self) -> Result<()> {
        match self.0.as_slice() {
            [] => Ok(()),
            left => bail!("left behind, to be removed by hand: {}", left.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_left_is_named() {
        let mut left = Leftovers::default();
        left.unless(Ok::<(), &str>(()), "the keys");
        assert!(Leftovers::default().told().is_ok());
        left.unless(Err("no answer"), "the topics");
        left.unless(Err("refused"), "the database");
        let told = left.told().unwrap_err().to_string();
        let named = "the topics (no answer); the database (refused)";
        assert!(told.ends_with(named), "{told}");
    }
}
