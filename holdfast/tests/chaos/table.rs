//! The table of results: on the screen, and in the repository with its date.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::recoveries::Recoveries;
use crate::rows::Row;

/// The table of results.
const RESULTS: &str = "CHAOS.md";
/// The table of scenarios, with the tests of each.
const SCENARIOS: &str = "SCENARIOS.md";

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
    /// The longest time without any 2xx since the fault began; `None`, here and below, where the
    /// figure would say nothing of the fault.
    pub(crate) silence: Option<Duration>,
    /// From the fault's end to the first 2xx of a request sent after it.
    pub(crate) again_after: Option<Duration>,
    /// From the load's end until the read models showed all of it.
    pub(crate) drained_in: Option<Duration>,
}

/// What came of a row.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) row: Row,
    pub(crate) seed: u64,
    pub(crate) measured: Option<Measured>,
    /// How often the gate was rebuilt.
    pub(crate) recoveries: Recoveries,
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

fn seconds(duration: impl Into<Option<Duration>>) -> String {
    match duration.into() {
        Some(duration) => format!("{:.1} s", duration.as_secs_f32()),
        None => "–".to_owned(),
    }
}

/// The table, one line per time that a row was played.
pub(crate) fn printed(outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| row | fault | commands | 2xx | refused | unanswered | longest silence | again after | \
         at most | drained in | verdict |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for outcome in outcomes {
        let Row { id, fault, .. } = outcome.row;
        write!(table, "| {id} | {fault} |").unwrap();
        match &outcome.measured {
            None => table.push_str(" | | | | | | | |"),
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
                // Nothing is stated where nothing was measured.
                let stated = measured.again_after.map(|_| outcome.row.answers_within);
                let (silence, again) = (measured.silence, measured.again_after);
                for time in [silence, again, stated, measured.drained_in] {
                    write!(table, " {} |", seconds(time)).unwrap();
                }
            }
        }
        let verdict = if outcome.holds() { "holds" } else { "BROKEN" };
        writeln!(table, " {verdict} |").unwrap();
    }
    let broken = outcomes.iter().filter(|it| !it.holds()).count();
    let (all, commands) = (outcomes.len(), commands(outcomes));
    let mut rebuilt = Recoveries::default();
    outcomes.iter().for_each(|it| rebuilt += it.recoveries);
    let Recoveries {
        all: recoveries,
        with_snapshot,
        ..
    } = rebuilt;
    writeln!(
        table,
        "\n{all} runs, {commands} commands, {broken} broken. The gate was rebuilt {recoveries} \
         times, {with_snapshot} of them out of a snapshot and what came after it."
    )
    .unwrap();
    table
}

fn commands(outcomes: &[Outcome]) -> usize {
    let measured = outcomes.iter().filter_map(|it| it.measured.as_ref());
    measured.map(|it| it.commands).sum()
}

/// The commit that the table is made of: asked before the first row, for that is what was built.
pub(crate) fn commit() -> String {
    said_by(Command::new("git").args(["describe", "--always", "--dirty"]))
}

/// Writes the table into the repository.
pub(crate) fn write(outcomes: &[Outcome], rounds: u64, commit: &str) {
    let date = said_by(Command::new("date").arg("+%Y-%m-%d"));
    let text = format!(
        "# Faults on real services: what came of each\n\nMade by `cargo xtask chaos --rounds \
         {rounds} --write` on {date} of commit {commit}, with a debug build, on two cores that \
         others used too. What the rows inject is in `chaos/rows/`, what is checked after each in \
         `chaos/checks.rs`. \"Again after\" is the time from the fault's end to the first 2xx of a \
         request that was sent after it, \"at most\" what the row states for it: one that takes \
         longer is BROKEN. It is several times what it takes, for a busy machine breaks no promise. \
         \"–\": the figure would say nothing of the fault, because \
         [commands or read models rightly stand still](SCENARIOS.md#faults) until somebody mends \
         what is wrong.\n\n{}",
        printed(outcomes)
    );
    std::fs::write(tests().join(RESULTS), text).unwrap();
}

fn said_by(command: &mut Command) -> String {
    let output = command.current_dir(tests()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The rows that the table of results or the table of scenarios does not have, and results of rows
/// that do not exist.
pub(crate) fn gaps(rows: &[Row]) -> Vec<String> {
    let read = |name| std::fs::read_to_string(tests().join(name)).unwrap();
    let (results, scenarios) = (read(RESULTS), read(SCENARIOS));
    let mut gaps = vec![];
    for row in rows {
        let result = format!("| {} | {} |", row.id, row.fault);
        if !results.contains(&result) {
            gaps.push(format!(
                "{RESULTS} has no result of {} ({})",
                row.id, row.fault
            ));
        }
        if !scenarios.contains(&format!("`{}`", row.source)) {
            gaps.push(format!(
                "{SCENARIOS} does not name {} ({})",
                row.source, row.id
            ));
        }
    }
    let lines = results.lines().filter(|line| line.starts_with("| F"));
    let of_no_row = lines.filter(|line| {
        let is_of = |row: &Row| line.starts_with(&format!("| {} |", row.id));
        !rows.iter().any(is_of)
    });
    gaps.extend(of_no_row.map(|line| format!("{RESULTS} has a result of no row: {line}")));
    gaps
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Keeps texts by their names; the folder, from the checkout.
pub(crate) fn keep_logs(row: &Row, texts: &[(String, String)]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = Path::new("target/chaos").join(row.id);
    let place = root.join(&folder);
    // An earlier run's are of no interest any more.
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    for (name, text) in texts {
        std::fs::write(place.join(name), text).unwrap();
    }
    folder
}
