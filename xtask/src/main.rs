//! `cargo xtask`: the services that Holdfast stands on, its tests and its checks, in the same words
//! on a laptop and in CI.
//!
//! A fresh machine has cargo but neither Redis, Kafka nor MySQL, so this is the one program that
//! installs and starts them. It has few and light dependencies, because it is built before
//! everything else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::services::kafka::Node;
use crate::services::{Addresses, docker, lasting, process};

mod check;
mod checkout;
mod run;
mod search;
mod services;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// Services, tests and checks of Holdfast
#[derive(Subcommand)]
enum Task {
    /// Run every test on real services of its own, installing and starting what they need, then
    /// the short form of `chaos`
    ///
    /// A service or program whose HOLDFAST_TEST_… variable is set already is used as it is.
    Test {
        /// Passed on to `cargo test`; `-p CRATE` tests that crate alone
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Inject the faults of the faults table into real processes on real services, under load
    ///
    /// `--list` names the rows, `--rows F5,F7.b` chooses some, `--rounds N` runs each N times,
    /// `--seed N` draws other lots, `--write` writes the table into the repository.
    Chaos {
        /// Passed on: see above
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Explore the commit protocol's model and its mutants, printing what each rule is for
    Model {
        /// Passed on to the model; `all --histories` prints each mutant's shortest history,
        /// `rule M01` one [default: all]
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Search the schedules of a command node's tasks for one that breaks a promise
    ///
    /// The test of the same name does so briefly, with a fixed seed. Without a scenario, this looks
    /// for the planted faults too.
    Interleavings {
        /// Only scenarios whose name begins like this: batch, chain, commit, hung_up,
        /// overtaken, read_back, turns
        #[arg(default_value = "")]
        scenario: String,
        /// How long each is run
        #[arg(long, default_value_t = 120)]
        seconds: u32,
    },
    /// Fuzz what reads bytes from outside, and keep what it finds in fuzz/corpus
    ///
    /// The crate's tests run that corpus and mutations of it. Installs cargo-fuzz if need be.
    Fuzz {
        /// One target of fuzz/fuzz_targets; without it all of them
        target: Option<String>,
        /// How long each is fuzzed
        #[arg(long, default_value_t = 120)]
        seconds: u32,
    },
    /// Simulate whole sales with everything that can go wrong, one from every seed
    ///
    /// `--seeds N --from SEED` runs many, `--seed SEED --history` shows one, `--planted all` looks
    /// for bugs that are planted in the commit path.
    Simulate {
        /// Passed on: see above, and `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Check format, lints, the room rules and the compose file
    Check,
    /// Run any command beside such services, with the variables that the tests read
    #[command(visible_alias = "services")]
    WithServices {
        /// How many Kafka nodes to start
        #[arg(long, default_value = "1", value_parser = kafka_nodes)]
        kafka_nodes: usize,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Start Redis, Kafka and MySQL, to stay until `down`
    Up(Up),
    /// Stop what `up` started
    Down {
        #[command(flatten)]
        place: Place,
        /// Delete the data too
        #[arg(long)]
        purge: bool,
    },
    /// Show what `up` started; fails unless all of it runs
    Status(Place),
}

#[derive(Args)]
struct Place {
    /// Where the services keep their data [default: target/services in this checkout]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// As processes of this machine, even if there is a Docker engine
    #[arg(long)]
    native: bool,
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    place: Place,
    /// The port of Redis
    #[arg(long, default_value_t = 6379)]
    redis_port: u16,
    /// The port of Kafka's first node; others follow it, and controllers listen from ten above it
    #[arg(long, default_value_t = 9092)]
    kafka_port: u16,
    /// The port of MySQL
    #[arg(long, default_value_t = 3306)]
    mysql_port: u16,
    /// How many Kafka nodes to start: 1, or 3 to see one of them die
    #[arg(long, default_value = "1", value_parser = kafka_nodes)]
    kafka_nodes: usize,
}

fn main() -> ExitCode {
    process::remember_interrupts();
    match perform(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode> {
    match task {
        Task::Test { args } => run::test(args),
        Task::Chaos { args } => run::chaos(&args),
        Task::Model { args } => run::model(args),
        Task::Interleavings { scenario, seconds } => search::interleavings(&scenario, seconds),
        Task::Fuzz { target, seconds } => search::fuzz(target.as_deref(), seconds),
        Task::Simulate { args } => run::simulate(&args),
        Task::Check => check::check().map(|()| ExitCode::SUCCESS),
        Task::WithServices {
            kafka_nodes,
            command,
        } => run::with_services(kafka_nodes, &command),
        Task::Up(up) => start_services(&up),
        Task::Down { place, purge } => stop_services(&place, purge),
        Task::Status(place) => show_services(&place),
    }
}

fn start_services(up: &Up) -> Result<ExitCode> {
    let addresses = up.addresses()?;
    if up.place.is_docker() {
        docker::up(&checkout::root()?, &addresses)?;
    } else {
        lasting::up(&up.place.dir()?, &addresses)?;
    }
    let single_broker = if up.kafka_nodes == 1 {
        " --kafka-single-broker"
    } else {
        ""
    };
    println!(
        "Redis, Kafka and MySQL are up. Start Holdfast on them with\n\n  \
         cargo run --release -- serve --redis {} --kafka {}{single_broker} \\\n    --mysql {}/holdfast\n",
        addresses.redis(),
        addresses.kafka(),
        addresses.mysql(),
    );
    Ok(ExitCode::SUCCESS)
}

fn stop_services(place: &Place, purge: bool) -> Result<ExitCode> {
    if place.is_docker() {
        docker::down(&checkout::root()?, purge)?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = place.dir()?;
    lasting::down(&dir)?;
    if purge {
        lasting::purge(&dir)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show_services(place: &Place) -> Result<ExitCode> {
    if place.is_docker() {
        docker::status(&checkout::root()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let all_run = lasting::status(&place.dir()?)?;
    Ok(if all_run {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Place {
    /// Containers have no directory: who names one wants processes.
    fn is_docker(&self) -> bool {
        !self.native && self.dir.is_none() && docker::is_usable()
    }

    fn dir(&self) -> Result<PathBuf> {
        match &self.dir {
            Some(dir) => std::path::absolute(dir).context("--dir is no path."),
            None => Ok(checkout::root()?.join("target/services")),
        }
    }
}

impl Up {
    fn addresses(&self) -> Result<Addresses> {
        let port = |offset: usize| {
            usize::from(self.kafka_port)
                .checked_add(offset)
                .and_then(|port| u16::try_from(port).ok())
                .context("--kafka-port is too high: ports from it to twelve above it are used.")
        };
        let kafka_nodes = (0..self.kafka_nodes)
            .map(|n| {
                Ok(Node {
                    port: port(n)?,
                    controller_port: port(10 + n)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Addresses {
            redis_port: self.redis_port,
            kafka_nodes,
            mysql_port: self.mysql_port,
        })
    }
}

/// One node, or as many as can lose one.
fn kafka_nodes(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("a cluster has 1 or 3 nodes".to_owned()),
    }
}
