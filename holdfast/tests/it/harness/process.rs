//! The program as a process.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::PATIENCE;

/// Before the address, in the line by which a server says that it listens.
const LISTENING: &str = "Holdfast is listening on ";

/// A running server. Dropped, it is killed.
pub(crate) struct Node {
    address: String,
    pub(crate) process: Child,
    said: Said,
}

/// All lines that a process has written so far, to stdout and stderr.
type Said = Arc<Mutex<String>>;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Fails where the command did.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert!(self.status.success(), "{self:?}");
        self
    }

    /// The one sentence of a command that refused to do anything.
    #[track_caller]
    pub(crate) fn refused(&self) -> &str {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        let said = self.stderr.trim_end();
        let lines = said.lines().filter(|line| line.starts_with("holdfast: "));
        let [sentence] = lines.collect::<Vec<_>>()[..] else {
            panic!("not one sentence: {self:?}")
        };
        assert!(said.ends_with(sentence), "{self:?}");
        sentence
    }
}

/// The program with none of the settings that the surroundings of the test have.
pub(crate) fn holdfast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOLDFAST_") {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(arguments: &[impl AsRef<OsStr>]) -> Ended {
    let mut command = holdfast();
    command.args(arguments);
    run_with(command, "").await
}

/// Runs a command to its end with this on its stdin.
pub(crate) async fn run_with(mut command: Command, stdin: &str) -> Ended {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = piped.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    // A command that refuses at once reads nothing.
    let _ = input.write_all(stdin.as_bytes()).await;
    drop(input);
    let output = tokio::time::timeout(PATIENCE, process.wait_with_output()).await;
    let output = output.expect("it ends").unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Node {
    /// Starts a server on a port that the system chooses, and waits until it listens.
    pub(crate) async fn start(arguments: &[String]) -> Self {
        let mut command = holdfast();
        command.args(arguments).args(["--listen", "127.0.0.1:0"]);
        Self::start_as(command).await
    }

    /// Starts this command and waits until it listens.
    pub(crate) async fn start_as(mut command: Command) -> Self {
        let piped = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        let said = Said::default();
        let (address, listening) = tokio::sync::oneshot::channel();
        let mut address = Some(address);
        follow(process.stderr.take().unwrap(), said.clone(), |_| ());
        follow(process.stdout.take().unwrap(), said.clone(), move |line| {
            let Some((url, _)) = line
                .strip_prefix(LISTENING)
                .and_then(|rest| rest.split_once(' '))
            else {
                return;
            };
            if let Some(address) = address.take() {
                // The test may have given up on it.
                let _ = address.send(url.to_owned());
            }
        });
        match tokio::time::timeout(PATIENCE, listening).await {
            Ok(Ok(address)) => Self {
                address,
                process,
                said,
            },
            _ => panic!("it does not listen: {command:?}\n{}", said.lock().unwrap()),
        }
    }

    /// Its base URL.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Where it listens, for a connection without HTTP's manners.
    pub(crate) fn socket(&self) -> &str {
        self.address.strip_prefix("http://").unwrap()
    }

    /// What it has written so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Sends a signal: `-TERM`, `-STOP`, `-CONT`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.id().expect("it runs"), name);
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        ended.expect("it ends").unwrap()
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let pid = process.to_string();
    let sent = std::process::Command::new("kill")
        .args([name, &pid])
        .status();
    assert!(sent.unwrap().success());
}

fn follow(
    stream: impl AsyncRead + Send + Unpin + 'static,
    said: Said,
    mut heard: impl FnMut(&str) + Send + 'static,
) {
    let mut lines = BufReader::new(stream).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            heard(&line);
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    });
}
