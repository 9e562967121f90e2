//! The batchers of gate calls.
//!
//! What must hold: every question is answered, by its own answer; a call holds questions of one
//! epoch, not more than it may, and no more calls are under way than may be; whether an earlier
//! call may have run is told exactly; the batcher's task ends with the last clone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use shuttle::rand::{Rng as _, thread_rng};

use crate::batch::{Batcher, Call, Limits};
use crate::epoch::OpenEpoch;
use crate::gate::{Current, GateError, Reply};
use crate::schedules::note;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    epoch: u64,
    number: u32,
}

struct World {
    limits: Limits,
    under_way: AtomicUsize,
    faults: Mutex<u32>,
    /// Questions of calls that gave no answer.
    unanswered: Mutex<BTreeSet<Question>>,
}

/// Answers each question with itself.
struct Echo(Arc<World>);

#[async_trait]
impl Call for Echo {
    type Question = Question;
    type Answer = Question;

    fn is_urgent(question: &Question) -> bool {
        question.number % 2 == 0
    }

    async fn call(
        &self,
        epoch: &OpenEpoch,
        questions: &[Question],
    ) -> Result<Reply<Question>, GateError> {
        let world = &self.0;
        let others = world.under_way.fetch_add(1, Ordering::SeqCst);
        assert!(others < world.limits.calls_in_flight, "too many calls");
        assert!(
            questions.len() <= world.limits.questions_max,
            "too many questions"
        );
        let of_epoch = |question: &Question| question.epoch == epoch.number();
        assert!(
            questions.iter().all(of_epoch),
            "questions of two epochs share a call"
        );
        tokio::task::yield_now().await;
        world.under_way.fetch_sub(1, Ordering::SeqCst);
        let fault = {
            let mut left = world.faults.lock();
            let fault = if *left > 0 {
                thread_rng().gen_range(0..8)
            } else {
                7
            };
            *left = left.saturating_sub(1);
            fault
        };
        note(format!("{questions:?} were asked; fault {fault}"));
        let why = String::new();
        match fault {
            0 => return Err(GateError::NotRun(why)),
            1 => return Err(GateError::Closed(why)),
            2 | 3 => {}
            _ => {
                return Ok(Reply {
                    answers: questions.to_vec(),
                    generation: 0,
                });
            }
        }
        world.unanswered.lock().extend(questions);
        Err(match fault {
            2 => GateError::Damaged(why),
            _ => GateError::Unanswered(why),
        })
    }
}

/// See the module.
pub fn run() {
    shuttle::future::block_on(async {
        let hour = Duration::from_secs(3600);
        let either = |one, other| {
            if thread_rng().gen_range(0..2) == 0 {
                one
            } else {
                other
            }
        };
        let limits = Limits {
            questions_max: thread_rng().gen_range(1..4),
            calls_in_flight: thread_rng().gen_range(1..3),
            linger: either(Duration::ZERO, Duration::from_millis(1)),
            retry_for: either(Duration::ZERO, hour),
        };
        let world = Arc::new(World {
            limits,
            under_way: AtomicUsize::new(0),
            faults: Mutex::new(thread_rng().gen_range(0..4)),
            unanswered: Mutex::default(),
        });
        let batcher = Batcher::start(Echo(Arc::clone(&world)), limits);
        let epochs: Arc<[_; 2]> = Arc::new([1, 2].map(epoch));
        let batcher = Arc::new(batcher);
        let askers: Vec<_> = (0..3)
            .map(|asker| {
                let (world, batcher) = (Arc::clone(&world), Arc::clone(&batcher));
                tokio::spawn(ask(world, batcher, Arc::clone(&epochs), asker))
            })
            .collect();
        for asker in askers {
            asker.await.expect("no task panics");
        }
        drop(batcher);
        while Arc::strong_count(&world) > 1 {
            tokio::task::yield_now().await;
        }
    });
}

async fn ask(
    world: Arc<World>,
    batcher: Arc<Batcher<Echo>>,
    epochs: Arc<[Arc<OpenEpoch>; 2]>,
    asker: u32,
) {
    for number in [asker, asker + 3] {
        let epoch = &epochs[thread_rng().gen_range(0..2)];
        let question = Question {
            epoch: epoch.number(),
            number,
        };
        let (answer, may_have_run) = match batcher.ask(epoch, question).await {
            Ok(answered) => (Some(answered.answer), answered.may_have_run),
            Err(failed) => (None, failed.may_have_run),
        };
        note(format!(
            "{question:?} hears {answer:?}, may have run: {may_have_run}"
        ));
        assert!(
            answer.is_none_or(|answer| answer == question),
            "another's answer"
        );
        let unanswered = world.unanswered.lock().contains(&question);
        assert_eq!(may_have_run, unanswered, "what may have run is told wrong");
    }
}

fn epoch(number: u64) -> Arc<OpenEpoch> {
    Arc::new(OpenEpoch::new(Current {
        epoch: number,
        scripts: [].into(),
        fences: [].into(),
        generation: 0,
    }))
}
