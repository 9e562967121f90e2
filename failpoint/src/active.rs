//! What happens at a point, where a test wants something to happen.

use std::sync::Once;

/// Does what `FAILPOINTS` says of this point.
pub fn pass(name: &str) {
    read_the_variable();
    let wanted = |name: &str| -> Option<String> {
        fail::fail_point!(name, |argument| argument);
        None
    };
    match wanted(name).as_deref() {
        Some("kill") => raise(libc::SIGKILL),
        Some("stop") => raise(libc::SIGSTOP),
        _ => {}
    }
}

/// By how much this process' clock is wrong, as `FAILPOINTS` says of the point `clock`.
pub fn clock_shift_seconds() -> i64 {
    read_the_variable();
    fail::fail_point!("clock", |seconds| seconds
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0));
    0
}

/// To the thread itself, so that not one more instruction of it runs.
fn raise(signal: libc::c_int) {
    eprintln!("a failpoint raises signal {signal}");
    // SAFETY: raise touches no memory; both signals act on the whole process.
    unsafe { libc::raise(signal) };
}

fn read_the_variable() {
    static READ: Once = Once::new();
    // Dropped, the scenario would forget every point again.
    READ.call_once(|| std::mem::forget(fail::FailScenario::setup()));
}
