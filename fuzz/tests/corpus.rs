//! Runs every target without a fuzzer: on each input of its corpus, then on mutations of them, of
//! a fixed seed and of a fresh one. A failure is shrunk to the fewest mutations and printed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fuzz::{TARGETS, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How long each target is tried with each seed.
const WITHIN: Duration = Duration::from_millis(400);

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("every target has a corpus")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|file| fs::read(file).expect("it can be read"))
        .collect()
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Put(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index),
    /// The rest of another input in the place of the rest of this one.
    Splice(Index, Index, Index),
}

/// Pieces that mean something to a reader.
const WORDS: [&str; 19] = [
    "",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\r\n",
    "null",
    "-1",
    "9223372036854775808",
    "1e999",
    "\u{301}",
    "\u{212a}",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    let word = prop_oneof![
        prop::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        (index(), word).prop_map(|(at, word)| Mutation::Put(at, word)),
        (index(), index()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        (index(), index()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        (index(), index(), index()).prop_map(|(at, other, from)| Mutation::Splice(at, other, from)),
    ]
}

/// A short range of the input.
fn range(length: usize, from: Index, to: Index) -> std::ops::Range<usize> {
    let from = from.index(length + 1);
    from..(from + to.index(16)).min(length)
}

fn mutate(corpus: &[Vec<u8>], first: Index, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = corpus[first.index(corpus.len())].clone();
    for mutation in mutations {
        let length = bytes.len();
        match mutation {
            Mutation::Flip(at, bits) if length > 0 => bytes[at.index(length)] ^= bits,
            Mutation::Flip(..) => {}
            Mutation::Put(at, word) => {
                let at = at.index(length + 1);
                bytes.splice(at..at, word.iter().copied());
            }
            Mutation::Remove(from, to) => drop(bytes.drain(range(length, *from, *to))),
            Mutation::Repeat(from, to) => {
                let range = range(length, *from, *to);
                let (at, piece) = (range.end, bytes[range].to_vec());
                bytes.splice(at..at, piece);
            }
            Mutation::Splice(at, other, from) => {
                let other = &corpus[other.index(corpus.len())];
                bytes.truncate(at.index(length + 1));
                bytes.extend(&other[from.index(other.len() + 1)..]);
            }
        }
    }
    bytes
}

/// Runs mutations until the time is over; returns how many.
fn try_mutations(target: &Target, mut runner: TestRunner) -> Result<u32, String> {
    let corpus = corpus(target);
    let begun = Instant::now();
    let inputs = (any::<Index>(), prop::collection::vec(mutation(), 1..6));
    let mut tried = 0;
    while begun.elapsed() < WITHIN {
        let tree = inputs.new_tree(&mut runner).expect("nothing is left out");
        let holds = runner.run_one(tree, |(first, mutations)| {
            let input = mutate(&corpus, first, &mutations);
            std::panic::catch_unwind(|| (target.run)(&input)).map_err(|_| {
                let text = String::from_utf8_lossy(&input);
                TestCaseError::fail(format!("{} fails on {text:?} = {input:?}", target.name))
            })
        });
        holds.map_err(|failed| failed.to_string())?;
        tried += 1;
    }
    Ok(tried)
}

#[test]
fn every_target_holds_on_its_corpus() {
    for target in &TARGETS {
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        for input in corpus {
            (target.run)(&input);
        }
    }
}

#[test]
fn every_target_holds_on_mutations_of_its_corpus() {
    let mut failed = Vec::new();
    for target in &TARGETS {
        let config = Config {
            failure_persistence: None,
            ..Config::default()
        };
        let fixed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let fixed = TestRunner::new_with_rng(config.clone(), fixed);
        let fresh = TestRunner::new(config);
        for runner in [fixed, fresh] {
            match try_mutations(target, runner) {
                Ok(tried) => println!("{}: {tried} inputs", target.name),
                Err(input) => failed.push(input),
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
