//! One row, from the opening of its shop to the last check.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::checks;
use crate::ledger::Told;
use crate::load::Load;
use crate::rows::Row;
use crate::shop::Shop;
use crate::stage::Stage;
use crate::table::{Measured, Outcome};

/// Commands that are accepted before a fault, and at least after it.
const COMMANDS_AROUND: usize = 40;
/// How long what was begun may take to be known when the fault is over.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);

/// What a row acts on.
pub(crate) struct Scene<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) shop: Shop,
    pub(crate) load: Load,
    pub(crate) draws: StdRng,
    begun: Option<Instant>,
    over: Option<Instant>,
    /// What a row itself found wrong.
    pub(crate) wrong: Vec<String>,
    /// Set by a row after which nothing can go on, for that is what is right: it has checked.
    pub(crate) measured: Option<Measured>,
}

impl Scene<'_> {
    /// The fault begins now.
    pub(crate) fn begins(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    /// The fault is over: from now on everything has to come right by itself.
    pub(crate) fn is_over(&mut self) {
        self.begins();
        self.over = Some(Instant::now());
    }

    /// The load goes on for a while and ends, and everything is checked.
    pub(crate) async fn come_right(&mut self) -> Measured {
        self.begins();
        let begun = self.begun.unwrap();
        let over = self.over.unwrap_or(begun);
        self.load.accepts(COMMANDS_AROUND).await;
        self.wrong.extend(self.load.end(KNOWN_WITHIN).await.err());
        self.shop.ready().await;
        let ended = Instant::now();
        let told = self.load.ledger.all();
        let (shop, admin) = (&self.shop, &self.load.admin);
        self.wrong.extend(checks::drained(admin, &told).await);
        let drained_in = ended.elapsed();
        self.wrong.extend(checks::check(shop, admin, &told).await);
        measure(&told, begun, over, drained_in)
    }

    /// Notes what is not as it has to be.
    pub(crate) fn expect(&mut self, holds: bool, what: &str) {
        if !holds {
            self.wrong.push(what.to_owned());
        }
    }
}

/// Plays a row. Whatever goes wrong in it is in its outcome.
pub(crate) async fn play(stage: &mut Stage, row: Row, seed: u64) -> Outcome {
    let started = Instant::now();
    let mut scene = None;
    let played = AssertUnwindSafe(act(stage, &row, seed, &mut scene)).catch_unwind();
    let mut outcome = Outcome {
        row: row.clone(),
        seed,
        measured: None,
        wrong: vec![],
        logs: PathBuf::new(),
        took: Duration::ZERO,
    };
    match played.await {
        Ok((measured, wrong)) => {
            outcome.measured = Some(measured);
            outcome.wrong = wrong;
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            outcome.wrong = vec![format!("it stopped: {}", text.unwrap_or("a panic"))];
        }
    }
    if let Some(scene) = scene
        && !outcome.holds()
    {
        let told = scene.load.ledger.all();
        let logs = crate::table::keep_logs(&row, &scene.shop, &told, &outcome.wrong);
        outcome.logs = logs.await;
    }
    stage.mend().await;
    outcome.took = started.elapsed();
    outcome
}

async fn act<'a>(
    stage: &'a mut Stage,
    row: &Row,
    seed: u64,
    place: &mut Option<Scene<'a>>,
) -> (Measured, Vec<String>) {
    let shop = Shop::open(stage, row.failpoint).await;
    let load = Load::begin(&shop, seed).await;
    let scene = place.insert(Scene {
        stage,
        shop,
        load,
        draws: StdRng::seed_from_u64(seed),
        begun: None,
        over: None,
        wrong: vec![],
        measured: None,
    });
    scene.load.accepts(COMMANDS_AROUND).await;
    (row.inject)(scene).await;
    if scene.over.is_none() {
        scene.is_over();
    }
    let measured = match scene.measured.take() {
        Some(measured) => measured,
        None => scene.come_right().await,
    };
    let mut wrong = std::mem::take(&mut scene.wrong);
    if measured.again_after > row.answers_within {
        let (took, bound) = (measured.again_after, row.answers_within);
        wrong.push(format!(
            "answered again after {took:?}; stated is {bound:?}"
        ));
    }
    (measured, wrong)
}

fn measure(told: &Told, begun: Instant, over: Instant, drained_in: Duration) -> Measured {
    let (accepted, refused, unanswered) = told.counts();
    Measured {
        commands: told.known,
        accepted,
        refused,
        unanswered,
        silence: told.longest_silence(begun),
        again_after: told.accepted_after(over).unwrap_or(Duration::MAX),
        drained_in,
    }
}
