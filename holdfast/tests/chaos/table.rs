//! The table of results: on the screen, and in the repository with its date.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ledger::Told;
use crate::rows::Row;
use crate::shop::Shop;

/// What was measured while a row was played.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Intentions whose outcome became known.
    pub(crate) commands: usize,
    /// Requests answered 2xx, repeated ones too.
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    /// Requests without an answer, or with a 503.
    pub(crate) unanswered: usize,
    /// The longest time without any 2xx since the fault began.
    pub(crate) silence: Duration,
    /// From the fault's end to the first 2xx of a request sent after it.
    pub(crate) again_after: Duration,
    /// From the load's end until the read models showed all of it.
    pub(crate) drained_in: Duration,
}

/// What came of a row.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) row: Row,
    pub(crate) seed: u64,
    pub(crate) measured: Option<Measured>,
    pub(crate) wrong: Vec<String>,
    pub(crate) logs: PathBuf,
    /// How long the whole row took.
    pub(crate) took: Duration,
}

impl Outcome {
    /// Whether every promise held.
    pub(crate) fn holds(&self) -> bool {
        self.wrong.is_empty()
    }

    /// One line for who waits.
    pub(crate) fn progress(&self) -> String {
        let mut line = format!("{:<6} {}", self.row.id, self.row.fault);
        if let Some(measured) = &self.measured {
            let (silence, again) = (seconds(measured.silence), seconds(measured.again_after));
            let commands = measured.commands;
            write!(
                line,
                ": {commands} commands, silent {silence}, again {again}"
            )
            .unwrap();
        }
        write!(line, " ({})", seconds(self.took)).unwrap();
        for wrong in &self.wrong {
            write!(line, "\n       WRONG: {wrong}").unwrap();
        }
        line
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f32())
}

/// The table, one line per time that a row was played.
pub(crate) fn printed(outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| row | fault | commands | 2xx | refused | unanswered | longest silence | again after | \
         drained in | verdict |\n|---|---|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for outcome in outcomes {
        let Row { id, fault, .. } = outcome.row;
        write!(table, "| {id} | {fault} |").unwrap();
        match &outcome.measured {
            None => table.push_str(" | | | | | | |"),
            Some(measured) => {
                let counts = [
                    measured.commands,
                    measured.accepted,
                    measured.refused,
                    measured.unanswered,
                ];
                for count in counts {
                    write!(table, " {count} |").unwrap();
                }
                for time in [measured.silence, measured.again_after, measured.drained_in] {
                    write!(table, " {} |", seconds(time)).unwrap();
                }
            }
        }
        let verdict = if outcome.holds() { "holds" } else { "BROKEN" };
        writeln!(table, " {verdict} |").unwrap();
    }
    let broken = outcomes.iter().filter(|it| !it.holds()).count();
    let (all, commands) = (outcomes.len(), commands(outcomes));
    writeln!(table, "\n{all} runs, {commands} commands, {broken} broken.").unwrap();
    table
}

fn commands(outcomes: &[Outcome]) -> usize {
    let measured = outcomes.iter().filter_map(|it| it.measured.as_ref());
    measured.map(|it| it.commands).sum()
}

/// Writes the table into the repository.
pub(crate) fn write(outcomes: &[Outcome], rounds: u64) {
    let date = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    let date = String::from_utf8(date.unwrap().stdout).unwrap();
    let text = format!(
        "# Faults on real services: what came of each\n\nMade by `cargo xtask chaos --rounds \
         {rounds} --write` on {}, with a debug build, on two cores that others used too. What the \
         rows inject is in `chaos/rows/`, what is checked after each in `chaos/checks.rs`.\n\n{}",
        date.trim(),
        printed(outcomes)
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/CHAOS.md");
    std::fs::write(file, text).unwrap();
}

/// Keeps what the processes said, and what was wrong; the folder, from the checkout.
pub(crate) async fn keep_logs(row: &Row, shop: &Shop, told: &Told, wrong: &[String]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = Path::new("target/chaos").join(row.id);
    let place = root.join(&folder);
    // An earlier run's are of no interest any more.
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    for (number, (who, said)) in shop.said().into_iter().enumerate() {
        std::fs::write(place.join(format!("{number}-{who}.log")), said).unwrap();
    }
    let texts = [
        ("wrong.txt", wrong.join("\n\n")),
        ("told.txt", told.history()),
        ("records.txt", shop.tool("log").await.stdout),
    ];
    for (name, text) in texts {
        std::fs::write(place.join(name), text).unwrap();
    }
    folder
}
