//! `holdfast audit`: the raw log, the read models and the gate, handed to the second reading.
//!
//! Works beside running servers. The order of looking is what makes the comparison fair: first
//! the rows, so that the log has everything that they have seen; then the log, up to ends that are
//! asked twice (see [`audit::Horizon`]); last the gate, whose things are compared one by one, each
//! at a moment when nothing was under way with it ([`gate`]).

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use audit::{Acknowledged, Evidence, Given, Report};
use command_api::gate::Gate;
use event_log::EventLog;
use event_log::sqlite::SqliteLog;
use query_api::read_model::ReadModels;

use crate::embedded::read_models_file;
use crate::services;
use crate::settings::AuditArgs;

mod acknowledged;
mod follow;
mod gate;
mod reading;
mod rows;

use reading::{Known, Reader};

/// The exit code where every promise that was checked holds.
const KEPT: u8 = 0;
/// The exit code where one is broken.
const BROKEN: u8 = 1;
/// The exit code where the audit could not run: nothing is known.
const COULD_NOT_RUN: u8 = 2;

/// Audits and prints. Exit code 1 if a promise is broken, 2 if the audit could not run.
///
/// # Errors
/// None: what went wrong is printed, and told by the exit code.
pub(crate) async fn run(args: AuditArgs) -> Result<ExitCode> {
    let done = if args.follow {
        follow::run(&args).await
    } else {
        once(&args).await
    };
    done.or_else(|error| {
        eprintln!("holdfast: the audit could not run: {error:#}");
        Ok(ExitCode::from(COULD_NOT_RUN))
    })
}

async fn once(args: &AuditArgs) -> Result<ExitCode> {
    let mut watch = Watch::open(args, Known::default()).await?;
    let report = watch.look().await?;
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    // Whoever closed the pipe has read enough; the exit code still tells.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(if report.ok { KEPT } else { BROKEN }))
}

/// An audit that can look again: it reads on where it was.
struct Watch {
    reader: Reader,
    rows: Rows,
    /// The gate, where it can be asked: an embedded one lives in the server's process.
    gate: Option<Arc<dyn Gate>>,
    acknowledged: Given<Vec<Acknowledged>>,
    key_retention: Duration,
}

/// Where the read models are.
enum Rows {
    None,
    /// In this file, once a projector has made it.
    Awaited(PathBuf),
    At(ReadModels),
}

impl Watch {
    /// Opens everything. `known` is what was read of the log before.
    async fn open(args: &AuditArgs, known: Known) -> Result<Self> {
        let (log, rows, gate) = places(args).await?;
        let acknowledged = match &args.acknowledged {
            Some(file) => Ok(acknowledged::read(file, args, log.as_ref()).await?),
            None => Err("no acknowledged commands were given"),
        };
        Ok(Self {
            reader: Reader::new(log, known),
            rows,
            gate,
            acknowledged,
            key_retention: args.retention.keys(),
        })
    }

    /// Reads what is new and compares everything.
    ///
    /// # Errors
    /// When something does not answer: then nothing is known.
    async fn look(&mut self) -> Result<Report> {
        if let Rows::Awaited(file) = &self.rows
            && file.exists()
        {
            self.rows = Rows::At(ReadModels::sqlite(file, 1));
        }
        let read_models = match &self.rows {
            Rows::At(read_models) => rows::read(read_models).await?,
            Rows::Awaited(_) => Err("there are no read models yet"),
            Rows::None => Err("no read models were given"),
        };
        self.reader.catch_up().await?;
        self.must_be_a_shops()?;
        let gate_things = match &self.gate {
            Some(gate) => gate::look(gate.as_ref(), &mut self.reader).await?,
            None => Err("no gate was given; an embedded one lives in its server"),
        };
        let evidence = Evidence {
            key_retention: self.key_retention,
            acknowledged: self.acknowledged.clone(),
            read_models,
            // Its items are among its things.
            gate: Err(gate_things.as_ref().err().copied().unwrap_or_default()),
            gate_things,
            horizon: self.reader.horizon(),
            ..Evidence::default()
        };
        Ok(self.reader.audit.report(&evidence))
    }

    /// Of a log without a claim nothing can be said, but what is wrong with its entries.
    fn must_be_a_shops(&mut self) -> Result<()> {
        let audit = &mut self.reader.audit;
        let is_one = audit.log_id().is_some() || !audit.report(&Evidence::default()).ok;
        ensure!(is_one, NO_SHOP);
        Ok(())
    }
}

const NO_SHOP: &str = "nobody ever claimed an epoch in this log, so it is no log of a shop: check \
                       --kafka-prefix or --data";

type Places = (Arc<dyn EventLog>, Rows, Option<Arc<dyn Gate>>);

async fn places(args: &AuditArgs) -> Result<Places> {
    match (&args.kafka.kafka, &args.mysql.mysql) {
        (None, None) => {
            let file = read_models_file(&args.data.data);
            let log = Arc::new(SqliteLog::open_read_only(&args.data.data)?);
            Ok((log, Rows::Awaited(file), None))
        }
        (Some(_), mysql) => {
            let log = services::open_log_to_look(&args.kafka).await?;
            let rows = match mysql {
                Some(url) => Rows::At(ReadModels::mysql(url.reveal(), 1)?),
                None => Rows::None,
            };
            let gate = match &args.redis.redis {
                Some(_) => Some(services::open_gate(&args.redis).await?),
                None => None,
            };
            Ok((log, rows, gate))
        }
        (None, Some(_)) => {
            bail!("--kafka is missing; give the brokers, or leave --mysql out for embedded")
        }
    }
}
