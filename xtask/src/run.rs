//! Commands beside throwaway services, and how long each phase took.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::checkout;
use crate::services::install;
use crate::services::process::run_to_end;
use crate::services::throwaway::Throwaway;

/// The test of the tests: in a server whose gate was built without its stock check, the property
/// that hunts oversells has to find one. It needs no services. Of the workspace, because then all
/// but two crates are the ones that are tested anyway.
const PLANTED: [&str; 8] = [
    "test",
    "--workspace",
    "--features=holdfast/planted-oversell",
    "--test=it",
    "--",
    "--quiet",
    "--exact",
    "properties::planted_oversell_is_found_and_shrunk",
];

/// The same for the simulation: every bug that can be planted in the commit path has to be found.
const PLANTED_IN_COMMIT_PATH: [&str; 8] = [
    "test",
    "--workspace",
    "--features=simulation/planted",
    "--test=it",
    "--",
    "--quiet",
    "--exact",
    "planted::every_planted_bug_is_found",
];

/// Runs `cargo test`, by default of the whole workspace, and answers with its exit code. Where
/// everything is tested, so are the tests.
///
/// Everything is compiled before services start, for both want all of the machine.
pub(crate) fn test(args: Vec<OsString>) -> Result<ExitCode> {
    let separator = args
        .iter()
        .position(|arg| arg == "--")
        .unwrap_or(args.len());
    let (of_cargo, of_tests) = args.split_at(separator);
    let cargo_test = || {
        let mut command = checkout::cargo();
        command.arg("test");
        if !of_cargo.iter().any(|arg| names_a_package(arg)) {
            command.arg("--workspace");
        }
        command.args(of_cargo);
        command
    };
    let built = phase("compiling", || run_to_end(cargo_test().arg("--no-run")))?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    if args.is_empty() {
        for (name, test) in [
            ("finding a planted oversell", PLANTED),
            ("finding planted bugs", PLANTED_IN_COMMIT_PATH),
        ] {
            let found = phase(name, || {
                expect_planted(&test)?;
                run_to_end(checkout::cargo().args(test))
            })?;
            if !found.success() {
                return Ok(exit_code(found));
            }
        }
    }
    let tested = beside_services("cargo test", 1, cargo_test().args(of_tests))?;
    if !args.is_empty() || tested != ExitCode::SUCCESS {
        return Ok(tested);
    }
    chaos(&["--short".into()])
}

/// Runs the simulation, which is built fast but with debug assertions, and with planted bugs only
/// where they are asked for.
pub(crate) fn simulate(args: &[OsString]) -> Result<ExitCode> {
    let mut command = checkout::cargo();
    command.args([
        "run",
        "--quiet",
        "--profile=simulation",
        "--package=simulation",
    ]);
    let plants = |arg: &OsString| arg.to_string_lossy().starts_with("--planted");
    if args.iter().any(plants) {
        command.arg("--features=planted");
    }
    Ok(exit_code(run_to_end(command.arg("--").args(args))?))
}

/// Injects faults into a server that was built with failpoints, on services that the program of the
/// test starts itself, for it also kills them. Of the workspace for the same reason as [`PLANTED`].
pub(crate) fn chaos(args: &[OsString]) -> Result<ExitCode> {
    let cargo_test = || {
        let mut command = checkout::cargo();
        command.args(["test", "--workspace", "--features=holdfast/failpoints"]);
        command.arg("--test=chaos");
        command
    };
    let built = phase("compiling", || run_to_end(cargo_test().arg("--no-run")))?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    let tools = phase("finding or installing services", install::tools)?;
    let status = phase("chaos", || {
        run_to_end(cargo_test().arg("--").args(args).envs(tools.variables()))
    })?;
    Ok(exit_code(status))
}

/// Runs the model of the commit protocol, and answers with its exit code. In release, for it
/// explores millions of states.
pub(crate) fn model(args: Vec<OsString>) -> Result<ExitCode> {
    let all = vec![OsString::from("all")];
    let args = if args.is_empty() { all } else { args };
    let mut command = checkout::cargo();
    command.args(["run", "--quiet", "--release", "-p", "model", "--"]);
    let status = phase("exploring the model", || run_to_end(command.args(args)))?;
    Ok(exit_code(status))
}

/// A filter that fits no test runs none and passes: were the test renamed, nobody would notice.
fn expect_planted(test: &[&str; 8]) -> Result<()> {
    let name = test[7];
    let mut list = checkout::cargo();
    list.args(test).arg("--list").stderr(Stdio::inherit());
    let listed = list.output().context("cargo cannot be started")?;
    let line = format!("{name}: test");
    let listed_it = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .any(|listed| listed == line);
    if listed.status.success() && !listed_it {
        bail!("There is no test {name}; was it renamed? xtask/src/run.rs names it.")
    }
    Ok(())
}

/// Runs any command beside services, and answers with its exit code.
pub(crate) fn with_services(kafka_nodes: usize, command: &[OsString]) -> Result<ExitCode> {
    let [program, args @ ..] = command else {
        bail!("Name a command to run.")
    };
    let name = program.to_string_lossy();
    beside_services(&name, kafka_nodes, Command::new(program).args(args))
}

fn beside_services(name: &str, kafka_nodes: usize, command: &mut Command) -> Result<ExitCode> {
    let tools = phase("finding or installing services", install::tools)?;
    let services = phase("starting Redis, Kafka and MySQL", || {
        Throwaway::start(&tools, kafka_nodes)
    })?;
    command.envs(services.variables(&tools));
    let status = phase(name, || run_to_end(command))?;
    phase("stopping services", || {
        drop(services);
        Ok(())
    })?;
    Ok(exit_code(status))
}

/// Does something and says on stderr how long it took, also when it failed.
pub(crate) fn phase<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let outcome = work();
    eprintln!("xtask: {name} took {:.1} s", start.elapsed().as_secs_f32());
    outcome
}

fn names_a_package(arg: &OsStr) -> bool {
    let arg = arg.to_string_lossy();
    arg.starts_with("-p") || arg.starts_with("--package")
}

/// The code that a shell would show: 128 and the signal's number for a command that a signal ended.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
