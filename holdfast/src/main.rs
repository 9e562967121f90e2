//! The one binary: every role and every tool of Holdfast as a subcommand.
//!
//! [`settings`] is the command line; [`serve`] puts the roles together from [`write_side`],
//! [`services`], [`embedded`] and [`api`]; [`admin`], [`epoch`], [`replay`], [`audit`] and [`log`] are the
//! operator's; [`sale`] and [`bench`] show and measure.

mod admin;
mod api;
mod audit;
mod bench;
mod embedded;
mod epoch;
mod http;
mod keys;
mod load;
mod log;
mod replay;
mod sale;
mod serve;
mod services;
mod settings;
mod telemetry;
mod user;
mod write_side;

use std::process::ExitCode;

use clap::Parser;

use crate::settings::{Cli, Command, EpochCommand, UserCommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    settings::forget_empty_variables();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("holdfast: threads cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(cli));
    // What is left (a blocking read, say) must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("holdfast: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    telemetry::log_to_stderr();
    let command = cli
        .command
        .unwrap_or_else(|| Command::Serve(Box::new(cli.serve)));
    match command {
        Command::Serve(args) => serve::serve(*args).await.map(|()| ExitCode::SUCCESS),
        Command::CommandApi(args) => serve::command_api(*args).await.map(|()| ExitCode::SUCCESS),
        Command::Projectors(args) => serve::projectors(*args).await.map(|()| ExitCode::SUCCESS),
        Command::QueryApi(args) => serve::query_api(*args).await.map(|()| ExitCode::SUCCESS),
        Command::User(UserCommand::Create(args)) => {
            user::create(*args).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Epoch(EpochCommand::Change(args)) => {
            epoch::change(*args).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Replay(args) => replay::run(*args).await.map(|()| ExitCode::SUCCESS),
        Command::Audit(args) => audit::run(*args).await,
        Command::Log(args) => log::run(*args).await,
        Command::Sale(args) => sale::run(*args).await,
        Command::Bench(args) => bench::run(*args).await,
    }
}
