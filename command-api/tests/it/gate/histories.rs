//! Random histories on both gates: every answer of Redis is the answer of memory, its model.
//! Ordinarily these are always the same histories; `HOLDFAST_PROPTEST_CASES` sets how many, and they
//! are new ones.

use std::sync::Arc;

use command_api::gate::conformance::fixture::*;
use command_api::gate::memory::MemoryGate;
use command_api::gate::{
    Claim, Decide, Gate, GateError, Intent, Look, Refusal, Settle, SettledTerms, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use record::Position;

use super::redis::open as open_redis;

/// Few enough that generations change within a history.
const ENTRIES_PER_GENERATION: u64 = 4;
const SKUS: [&str; 3] = ["A", "B", "C"];

/// One command, by small numbers, so that a failure is readable. `C` does not exist at first.
#[derive(Debug, Clone)]
enum Want {
    Create(usize),
    Change(usize, u64),
    Discontinue(usize, u64),
    Move(usize, i64),
    Set(usize, i64, i64),
    Place(u128, Vec<(usize, i64)>, u64),
    Cancel(u128, u64),
    Register(u128, u8),
    MoveOut(u128, u64, u8),
    Refused(u128, usize, u8),
}

/// With a key and fingerprint (of a few), and the generation that the command says it began in.
type Asked = (Want, Option<(u8, u8)>, u64);

#[derive(Debug, Clone)]
enum Step {
    Decide(Vec<Asked>),
    /// The same command again, as after a time-out.
    Again(prop::sample::Index),
    /// Records, in an order that the commit path would not choose too.
    Settle(Vec<prop::sample::Index>),
    Look,
}

fn want() -> impl Strategy<Value = Want> {
    let sku = || 0..SKUS.len();
    let lines = prop::collection::vec((sku(), 1..4_i64), 1..4);
    prop_oneof![
        1 => sku().prop_map(Want::Create),
        1 => (sku(), 0..4_u64).prop_map(|(sku, version)| Want::Change(sku, version)),
        1 => (sku(), 0..4_u64).prop_map(|(sku, version)| Want::Discontinue(sku, version)),
        2 => (sku(), -3..6_i64).prop_map(|(sku, units)| Want::Move(sku, units)),
        1 => (sku(), 0..6_i64, 0..6_i64).prop_map(|(sku, from, to)| Want::Set(sku, from, to)),
        5 => (0..4_u128, lines, 0..4_u64)
            .prop_map(|(order, lines, terms)| Want::Place(order, lines, terms.max(1))),
        2 => (0..4_u128, 1..3_u64).prop_map(|(order, version)| Want::Cancel(order, version)),
        1 => (0..3_u128, 0..3_u8).prop_map(|(user, claim)| Want::Register(user, claim)),
        1 => (0..3_u128, 1..3_u64, 0..3_u8)
            .prop_map(|(user, version, claim)| Want::MoveOut(user, version, claim)),
        1 => (0..4_u128, sku(), 0..4_u8)
            .prop_map(|(order, sku, refusal)| Want::Refused(order, sku, refusal)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop::option::of((0..3_u8, 0..2_u8));
    let commands = prop::collection::vec((want(), key, 0..3_u64), 1..5);
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => commands.prop_map(Step::Decide),
        2 => index().prop_map(Step::Again),
        4 => prop::collection::vec(index(), 1..4).prop_map(Step::Settle),
        1 => Just(Step::Look),
    ]
}

/// The command of a want, with the number of its record.
fn command(record: u128, want: &Want) -> Decide {
    let at = |index: &usize| SKUS[*index];
    match want {
        Want::Create(sku) => change(record, item_key(at(sku)), 0),
        Want::Change(sku, version) => change(record, item_key(at(sku)), *version),
        Want::Discontinue(sku, version) => discontinue(record, at(sku), *version),
        Want::Move(sku, units) => movement(record, at(sku), *units),
        Want::Set(sku, from, to) => appended(movement(record, at(sku), to - from), |append| {
            append.available = Some(*from);
        }),
        Want::Place(order_number, lines, terms) => {
            let lines: Vec<_> = lines.iter().map(|(sku, units)| (at(sku), *units)).collect();
            let mut command = place(record, &lines);
            command.aggregate = order(*order_number);
            for (_, version) in &mut command.terms {
                *version = *terms;
            }
            command
        }
        Want::Cancel(number, version) => change(record, order(*number), *version),
        Want::Register(number, claim) => {
            let claims = vec![claim_of(*number, *claim)];
            appended(change(record, user(*number), 0), |append| {
                append.claims = claims
            })
        }
        Want::MoveOut(number, version, claim) => {
            let claims = vec![claim_of(*number, *claim)];
            appended(change(record, user(*number), *version), |append| {
                append.claims = claims
            })
        }
        Want::Refused(number, index, refusal) => {
            let name = sku(at(index));
            let refusal = match refusal {
                0 => Refusal::AlreadyCancelled,
                1 => Refusal::Discontinued { sku: name },
                2 => Refusal::TotalTooLarge { sku: name },
                _ => Refusal::NotFound,
            };
            let mut command = refused_by_domain(change(record, order(*number), 0), refusal);
            command.terms = vec![(sku(at(index)), 1)];
            command
        }
    }
}

fn claim_of(number: u128, claim: u8) -> Claim {
    claimed(&format!("email:{claim}"), &user(number))
}

/// What settles a decided command.
fn settlement(command: &Decide, want: &Want) -> Settle {
    let version = match &command.intent {
        Intent::Append(append) => match append.expected {
            command_api::gate::Expected::Version(version) => version + 1,
            command_api::gate::Expected::Next => 0,
        },
        Intent::Refuse(_) => 0,
    };
    let settle = settling(command);
    match want {
        Want::Create(_) | Want::Change(..) | Want::Discontinue(..) => Settle {
            terms: Some(SettledTerms {
                version,
                terms: terms(version as i64 * 100),
                creates: version == 1,
            }),
            ..settle
        },
        Want::Cancel(..) => Settle {
            gives: vec![(sku("A"), 1)],
            ..settle
        },
        Want::MoveOut(number, _, claim) => Settle {
            claims_given_up: vec![claim_of(*number, (claim + 1) % 3)],
            ..settle
        },
        _ => settle,
    }
}

/// Both gates and what was asked of them so far.
struct Pair {
    model: Shop,
    redis: Shop,
    decided: Vec<(Decide, Want)>,
}

/// Both said that the data is damaged: the epoch ends here.
struct Over;

impl Pair {
    async fn open() -> Self {
        let pieces = [item("A", 3), item("B", 1)].concat();
        let memory: Arc<dyn Gate> = Arc::new(MemoryGate::new(ENTRIES_PER_GENERATION));
        Self {
            model: Shop::with(memory, pieces.clone()).await,
            redis: Shop::with(open_redis(ENTRIES_PER_GENERATION), pieces).await,
            decided: vec![],
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Over> {
        match step {
            Step::Decide(wants) => {
                let first = self.decided.len();
                for (want, key, generation) in wants {
                    let mut command = command(self.decided.len() as u128, want);
                    if let Some((key, fingerprint)) = key {
                        command = keyed(command, &format!("k{key}"), &format!("f{fingerprint}"));
                    }
                    command.generation = *generation;
                    self.decided.push((command, want.clone()));
                }
                let call: Vec<_> = self.decided[first..]
                    .iter()
                    .map(|(command, _)| command.clone())
                    .collect();
                self.decide(&call).await
            }
            Step::Again(index) if !self.decided.is_empty() => {
                let command = index.get(&self.decided).0.clone();
                self.decide(&[command]).await
            }
            Step::Settle(indexes) if !self.decided.is_empty() => self.settle(indexes).await,
            Step::Again(_) | Step::Settle(_) => Ok(()),
            Step::Look => self.look().await,
        }
    }

    async fn decide(&self, call: &[Decide]) -> Result<(), Over> {
        let expected = self.model.gate.decide(&self.model.current, call).await;
        let found = self.redis.gate.decide(&self.redis.current, call).await;
        if let Ok(reply) = &expected {
            for verdict in &reply.answers {
                assert_never_negative(verdict);
            }
        }
        same(expected, found)
    }

    async fn settle(&self, indexes: &[prop::sample::Index]) -> Result<(), Over> {
        let records: Vec<_> = indexes
            .iter()
            .map(|index| index.get(&self.decided))
            .map(|(command, want)| settlement(command, want))
            .collect();
        let tails: Vec<Position> = records.iter().map(|record| record.position).collect();
        let expected = self
            .model
            .gate
            .settle(&self.model.current, &records, &tails)
            .await;
        let found = self
            .redis
            .gate
            .settle(&self.redis.current, &records, &tails)
            .await;
        same(expected, found)
    }

    /// Everything that can be seen.
    async fn look(&self) -> Result<(), Over> {
        let looks: Vec<Look> = SKUS
            .iter()
            .flat_map(|name| [Look::Item(sku(name)), Look::Aggregate(item_key(name))])
            .chain((0..4).map(|number| Look::Aggregate(order(number))))
            .chain((0..3).map(|claim| Look::Claimed(format!("email:{claim}"))))
            .collect();
        for look in &looks {
            let look = std::slice::from_ref(look);
            let expected = self.model.gate.load(&self.model.current, look).await;
            same(
                expected,
                self.redis.gate.load(&self.redis.current, look).await,
            )?;
        }
        let mut listed = vec![];
        for shop in [&self.model, &self.redis] {
            let mut pending = shop
                .gate
                .pending(&shop.current, None)
                .await
                .expect("it is open");
            pending.sort_by_key(|pending| pending.record);
            listed.push((pending, shop.gate.tail_starts(&shop.current).await));
        }
        assert_eq!(listed[0], listed[1]);
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    expected: Result<T, GateError>,
    found: Result<T, GateError>,
) -> Result<(), Over> {
    if let (Err(GateError::Damaged(_)), Err(GateError::Damaged(_))) = (&expected, &found) {
        return Err(Over);
    }
    assert_eq!(expected, found, "memory | Redis");
    Ok(())
}

/// S1, as far as the gate can see.
fn assert_never_negative(verdict: &Verdict) {
    if let Verdict::Accepted { figures, .. } = verdict {
        assert!(
            figures.iter().all(|(_, figures)| figures.available >= 0),
            "{verdict:?}"
        );
    }
}

fn config() -> ProptestConfig {
    let more = std::env::var("HOLDFAST_PROPTEST_CASES").ok();
    let more = more.map(|cases| cases.parse().expect("a number of cases"));
    ProptestConfig {
        cases: more.unwrap_or(128),
        rng_seed: more.map_or(RngSeed::Fixed(1), |_| RngSeed::Random),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn redis_answers_every_history_as_memory_does(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(async {
            let mut pair = Pair::open().await;
            for step in &steps {
                if let Err(Over) = pair.step(step).await {
                    return;
                }
            }
            let _ = pair.look().await;
        });
    }
}
