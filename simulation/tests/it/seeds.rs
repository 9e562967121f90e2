//! Seeds: the same ones every time, and some that nobody has seen.

use std::path::Path;
use std::time::{Duration, Instant};

use simulation::process::Processes;
use simulation::totals::{Range, run_all};

/// A few worlds that every run plays.
const FIXED: [u64; 14] = [1, 2, 3, 16, 23, 32, 43, 62, 69, 83, 100, 502, 10319, 20793];
/// Fresh seeds are begun for so long.
const FRESH_FOR: Duration = Duration::from_secs(20);

fn processes() -> Processes {
    Processes::of(Path::new(env!("CARGO_BIN_EXE_simulation")))
}

#[test]
fn a_seed_is_a_history() {
    for seed in [3, 7] {
        let (first, second) = (processes().run(seed, true), processes().run(seed, true));
        assert!(first.lines.len() > 100, "{:?}", first.violations);
        let differs = first.lines.iter().zip(&second.lines).find(|(a, b)| a != b);
        assert_eq!(differs, None);
        assert_eq!(first, second);
    }
    let digest = |seed| processes().run(seed, false).digest;
    assert_ne!(digest(3), digest(4), "another seed, another history");
}

#[test]
fn no_promise_breaks_in_the_fixed_seeds() {
    for seed in FIXED {
        let outcome = processes().run(seed, false);
        assert!(outcome.violations.is_empty(), "{}", outcome.told());
    }
}

#[test]
fn no_promise_breaks_in_fresh_seeds() {
    let from = u64::from(uuid::Uuid::new_v4().as_fields().0);
    println!("fresh seeds from {from} on");
    let began = Instant::now();
    let processes = processes();
    let mut first = from;
    while began.elapsed() < FRESH_FOR {
        let range = Range {
            from: first,
            count: 8,
            workers: 2,
            stop_at_first: true,
        };
        let totals = run_all(range, |seed| processes.run(seed, false), |_| {});
        let told: Vec<_> = totals.broken.iter().map(|it| it.told()).collect();
        assert!(told.is_empty(), "{}", told.join(""));
        first += range.count;
    }
}
