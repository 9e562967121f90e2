//! One row, from the opening of its shop to the last check.
//!
//! What must stay true: whatever a row does and however it ends, what its clients were told wrongly
//! and what its processes panicked about is read at the very end.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::checks::{self, Asked};
use crate::harness::PATIENCE;
use crate::ledger::Told;
use crate::load::Load;
use crate::recoveries::Recoveries;
use crate::rows::Row;
use crate::shop::Shop;
use crate::stage::Stage;
use crate::table::{Measured, Outcome};

/// Commands that are accepted before a fault, and at least after it.
const COMMANDS_AROUND: usize = 40;

/// What has to be right after a fault. The load goes on through it in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Everything.
    All,
    /// Commands; read models stand still until somebody mends what is wrong, and say so.
    Commands,
    /// Nothing but what was acknowledged: commands are answered 503 until somebody mends it.
    Log,
}

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
    pub(crate) afterwards: Afterwards,
    /// Set by a row that has measured and checked something else than its shop.
    pub(crate) measured: Option<Measured>,
    /// What processes said beside those of the shop, with the names of those who said it.
    pub(crate) said_elsewhere: Vec<(String, String)>,
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

    /// The shop's load ends, and everything is checked.
    pub(crate) async fn close_shop(&mut self) -> Duration {
        let ended = self.load.end(PATIENCE).await;
        self.wrong.extend(ended.err());
        self.shop.ready().await;
        checked(&self.load, &self.shop, &mut self.wrong).await
    }

    /// The load goes on for a while and ends, and what has to be right is checked.
    async fn come_right(&mut self) -> Measured {
        if self.afterwards == Afterwards::Log {
            self.load.break_off().await;
            let told = self.load.ledger.all();
            self.wrong.extend(checks::logged(&self.shop, &told).await);
            return self.figures(None, false);
        }
        self.load.accepts(COMMANDS_AROUND).await;
        if self.afterwards == Afterwards::All {
            let drained_in = self.close_shop().await;
            return self.figures(Some(drained_in), true);
        }
        self.wrong.extend(self.load.end(PATIENCE).await.err());
        let (admin, told) = (&self.load.admin, self.load.ledger.all());
        self.wrong.extend(checks::gate_agrees(admin, &told).await);
        self.wrong.extend(checks::people(&self.shop, &told).await);
        self.wrong.extend(checks::logged(&self.shop, &told).await);
        self.figures(None, true)
    }

    /// The same of a shop elsewhere, to whose load this scene has changed.
    pub(crate) async fn come_right_at(&mut self, elsewhere: &impl Asked) {
        self.load.accepts(COMMANDS_AROUND).await;
        self.wrong.extend(self.load.end(PATIENCE).await.err());
        let drained_in = checked(&self.load, elsewhere, &mut self.wrong).await;
        self.measured = Some(self.figures(Some(drained_in), true));
    }

    /// What was measured. Where commands are answered no more, there is nothing to say of how long
    /// they were not.
    fn figures(&self, drained_in: Option<Duration>, answered: bool) -> Measured {
        let told = self.load.ledger.all();
        let (accepted, refused, unanswered) = told.counts();
        let begun = self.begun.filter(|_| answered);
        let over = self.over.filter(|_| answered);
        let again = |over| told.accepted_after(over).unwrap_or(Duration::MAX);
        Measured {
            commands: told.known,
            accepted,
            refused,
            unanswered,
            silence: begun.map(|begun| told.longest_silence(begun)),
            again_after: over.map(again),
            drained_in,
        }
    }

    /// Notes what is not as it has to be.
    pub(crate) fn expect(&mut self, holds: bool, what: &str) {
        if !holds {
            self.wrong.push(what.to_owned());
        }
    }

    /// All that processes have said so far.
    fn said(&self) -> Vec<(String, String)> {
        let elsewhere = self.said_elsewhere.iter().cloned();
        self.shop.said().into_iter().chain(elsewhere).collect()
    }
}

/// Checks everything after a load that has ended; how long the read models took to show it.
async fn checked(load: &Load, asked: &impl Asked, wrong: &mut Vec<String>) -> Duration {
    let ended = Instant::now();
    let told = load.ledger.all();
    wrong.extend(checks::drained(&load.admin, &told).await);
    let drained_in = ended.elapsed();
    wrong.extend(checks::check(asked, &load.admin, &told).await);
    drained_in
}

/// Plays a row. Whatever goes wrong in it is in its outcome.
pub(crate) async fn play(stage: &mut Stage, row: Row, seed: u64, logs: bool) -> Outcome {
    let started = Instant::now();
    let mut scene = None;
    let played = AssertUnwindSafe(act(stage, &row, seed, &mut scene)).catch_unwind();
    let mut outcome = Outcome {
        row: row.clone(),
        seed,
        measured: None,
        recoveries: Recoveries::default(),
        wrong: vec![],
        logs: PathBuf::new(),
        took: Duration::ZERO,
    };
    match played.await {
        Ok(measured) => outcome.measured = Some(measured),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            outcome.wrong = vec![format!("it stopped: {}", text.unwrap_or("a panic"))];
        }
    }
    if let Some(mut scene) = scene {
        let (told, said) = (scene.load.ledger.all(), scene.said());
        outcome.wrong.append(&mut scene.wrong);
        outcome.wrong.extend(told.wrong.clone());
        outcome.wrong.extend(panics(&said));
        outcome.recoveries = Recoveries::of(&said);
        if logs || !outcome.holds() {
            outcome.logs = kept(&row, &scene, said, &told, &outcome.wrong).await;
        }
    }
    stage.mend().await;
    outcome.took = started.elapsed();
    outcome
}

async fn kept(
    row: &Row,
    scene: &Scene<'_>,
    mut said: Vec<(String, String)>,
    told: &Told,
    wrong: &[String],
) -> PathBuf {
    let texts = [
        ("wrong.txt", wrong.join("\n\n")),
        ("told.txt", told.history()),
        ("records.txt", scene.shop.tool("log").await.stdout),
    ];
    let texts = texts.map(|(name, text)| (name.to_owned(), text));
    for (number, (who, _)) in (0..).zip(&mut said) {
        *who = format!("{number}-{who}.log");
    }
    said.extend(texts);
    crate::table::keep_logs(row, &said)
}

fn panics(said: &[(String, String)]) -> Vec<String> {
    let lines = said
        .iter()
        .flat_map(|(who, said)| said.lines().map(move |line| (who, line)));
    let panics = lines.filter(|(_, line)| line.contains("panicked at"));
    panics.map(|(who, line)| format!("{who}: {line}")).collect()
}

async fn act<'a>(
    stage: &'a mut Stage,
    row: &Row,
    seed: u64,
    place: &mut Option<Scene<'a>>,
) -> Measured {
    let shop = Shop::open(stage, row.failpoint).await;
    let load = Load::begin(&shop.visitor(), seed).await;
    let scene = place.insert(Scene {
        stage,
        shop,
        load,
        draws: StdRng::seed_from_u64(seed),
        begun: None,
        over: None,
        wrong: vec![],
        afterwards: Afterwards::All,
        measured: None,
        said_elsewhere: vec![],
    });
    scene.load.accepts(COMMANDS_AROUND).await;
    (row.inject)(scene).await;
    if scene.over.is_none() && scene.afterwards == Afterwards::All {
        scene.is_over();
    }
    let measured = match scene.measured.take() {
        Some(measured) => measured,
        None => scene.come_right().await,
    };
    if let Some(took) = measured.again_after
        && took > row.answers_within
    {
        let bound = row.answers_within;
        let late = format!("answered again after {took:?}; stated is {bound:?}");
        scene.wrong.push(late);
    }
    measured
}
