//! What happens at a point, where a test wants something to happen.

use std::sync::Once;
use std::time::Duration;

/// Does what `FAILPOINTS` says of this point.
pub fn pass(name: &str) {
    read_the_variable();
    let wanted = |name: &str| -> Option<String> {
        fail::fail_point!(name, |argument| argument);
        None
    };
    let Some(wanted) = wanted(name) else { return };
    let (action, file) = match wanted.split_once('@') {
        Some((action, file)) => (action, Some(file)),
        None => (&*wanted, None),
    };
    // Of all who come to an armed point, one process finds the file.
    if file.is_some_and(|file| std::fs::remove_file(file).is_err()) {
        return;
    }
    eprintln!("failpoint {name}: {action}");
    match action {
        "kill" => raise(libc::SIGKILL),
        "stop" => raise(libc::SIGSTOP),
        _ => {}
    }
}

/// By how much the clock of this process' `command-api` is wrong: what stands in the file that `FAILPOINTS` names at
/// the point `clock`.
pub fn clock_shift_seconds() -> i64 {
    read_the_variable();
    let shift = |file: Option<String>| {
        let text = std::fs::read_to_string(file?).ok()?;
        text.trim().parse().ok()
    };
    fail::fail_point!("clock", |file| shift(file).unwrap_or(0));
    0
}

/// How often it is looked whether a snapshot is due, where `FAILPOINTS` says so at the point
/// `snapshots`.
pub fn snapshots_every() -> Option<Duration> {
    read_the_variable();
    let every = |seconds: Option<String>| seconds?.parse().ok().map(Duration::from_secs);
    fail::fail_point!("snapshots", every);
    None
}

/// To the thread itself, so that not one more instruction of it runs.
fn raise(signal: libc::c_int) {
    // SAFETY: raise touches no memory; both signals act on the whole process.
    unsafe { libc::raise(signal) };
}

fn read_the_variable() {
    static READ: Once = Once::new();
    // Dropped, the scenario would forget every point again.
    READ.call_once(|| std::mem::forget(fail::FailScenario::setup()));
}
