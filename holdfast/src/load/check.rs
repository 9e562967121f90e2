//! What must hold after a run, each beside what was found.

use anyhow::Result;
use serde::Serialize;

use super::server::Throwaway;
use super::table::{Side, Table};

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What, for people.
    pub(crate) what: &'static str,
    /// What it must be.
    pub(crate) expected: String,
    /// What it is.
    pub(crate) found: String,
    /// Whether it holds.
    pub(crate) kept: bool,
}

impl Check {
    /// That two values are the same.
    pub(crate) fn equal<T: PartialEq + ToString>(
        what: &'static str,
        expected: T,
        found: T,
    ) -> Self {
        let kept = expected == found;
        Self {
            what,
            expected: expected.to_string(),
            found: found.to_string(),
            kept,
        }
    }
}

/// Whether all of them hold.
pub(crate) fn all_kept(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.kept)
}

/// Prints them with a verdict.
pub(crate) fn print(checks: &[Check]) {
    let columns = [
        ("check", Side::Left),
        ("expected", Side::Right),
        ("found", Side::Right),
        ("", Side::Left),
    ];
    let mut table = Table::new(&columns);
    for Check {
        what,
        expected,
        found,
        kept,
    } in checks
    {
        let mark = if *kept { "ok" } else { "BROKEN" };
        table.row([
            (*what).to_owned(),
            expected.clone(),
            found.clone(),
            mark.to_owned(),
        ]);
    }
    print!("{}", table.render());
    println!(
        "\n{}",
        if all_kept(checks) {
            "Every promise was kept."
        } else {
            "A PROMISE WAS BROKEN."
        }
    );
}

/// Folds the whole log with `holdfast audit`.
///
/// # Errors
/// When it cannot be started.
pub(crate) async fn of_the_log(throwaway: &Throwaway) -> Result<Check> {
    let (code, printed) = throwaway.run("audit").await?;
    let found = match code {
        Some(0) => "every promise".to_owned(),
        _ => printed,
    };
    Ok(Check::equal(
        "`holdfast audit` finds kept",
        "every promise".to_owned(),
        found,
    ))
}
