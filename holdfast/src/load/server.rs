//! Servers of one run: children of this process, in a directory that goes with them.
//!
//! They are the same binary, started as anybody would start it. Nothing of the surrounding
//! `HOLDFAST_…` variables reaches them, so that a run can never touch a shop's data; what they
//! need is given by variables and not by arguments, which every user of a machine can read.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::call::Call;
use super::connection::{Connection, Target};
use super::process::Watched;

/// How long a server may take to listen, and then to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often a server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// What stands on stdout before the address.
const LISTENING: &str = "Holdfast is listening on ";
/// The administrator of throwaway servers.
const ADMIN_EMAIL: &str = "admin@holdfast.example";

/// What a server is started with: names and values of variables.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// An administrator's credentials.
#[derive(Clone)]
pub(crate) struct Admin {
    /// The address.
    pub(crate) email: String,
    /// The password.
    pub(crate) password: String,
}

/// A directory, and the administrator of what is started in it.
pub(crate) struct Throwaway {
    directory: TempDir,
    /// The administrator.
    pub(crate) admin: Admin,
    variables: Variables,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    role: &'static str,
    /// Where it is reached.
    pub(crate) target: Target,
}

impl Throwaway {
    /// A new directory, and what its servers shall be told beside it.
    ///
    /// # Errors
    /// When no directory can be made.
    pub(crate) fn new(variables: Variables) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("holdfast-").tempdir();
        let directory = directory.context("no temporary directory can be made; set TMPDIR")?;
        let password = uuid::Uuid::new_v4().to_string();
        let admin = Admin {
            email: ADMIN_EMAIL.to_owned(),
            password,
        };
        Ok(Self {
            directory,
            admin,
            variables,
        })
    }

    /// Where its servers keep their files.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts this binary in a role and waits until it is ready.
    ///
    /// # Errors
    /// One sentence with the server's own words where it does not start.
    pub(crate) async fn start_role(&self, role: &'static str) -> Result<Server> {
        let arguments = [role.as_ref(), "--listen".as_ref(), "127.0.0.1:0".as_ref()];
        self.start(role, &arguments).await
    }

    /// Starts this binary with these arguments and waits until it is ready.
    ///
    /// # Errors
    /// As [`Throwaway::start_role`].
    pub(crate) async fn start(&self, role: &'static str, arguments: &[&OsStr]) -> Result<Server> {
        let log_file = self.path().join(format!("{role}.log"));
        let log = std::fs::File::create(&log_file).context("the server's log cannot be written")?;
        let mut command = self.command()?;
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command
            .spawn()
            .with_context(|| format!("{role} cannot be started"))?;
        let target = match timeout(READY_WITHIN, listening(&mut child)).await {
            Ok(Ok(target)) => target,
            _ => bail!("{role} did not start: {}", last_words(&log_file)),
        };
        let server = Server {
            child,
            role,
            target,
        };
        server
            .ready()
            .await
            .with_context(|| last_words(&log_file))?;
        Ok(server)
    }

    /// Runs another command of this binary in the directory and returns its exit code and what it
    /// printed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn run(&self, command: &'static str) -> Result<(Option<i32>, String)> {
        let output = self
            .command()?
            .arg(command)
            .stdin(Stdio::null())
            .output()
            .await;
        let output = output.with_context(|| format!("{command} cannot be started"))?;
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            printed.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        Ok((output.status.code(), printed))
    }

    fn command(&self) -> Result<Command> {
        let binary = std::env::current_exe().context("this program's own file cannot be found")?;
        let mut command = Command::new(binary);
        let surrounding = std::env::vars_os().map(|(name, _)| name);
        for name in surrounding.filter(|name| name.to_string_lossy().starts_with("HOLDFAST_")) {
            command.env_remove(name);
        }
        command
            .env("HOLDFAST_LOG", "warn")
            .env("HOLDFAST_DATA", self.path())
            .env("HOLDFAST_ADMIN_EMAIL", &self.admin.email)
            .env("HOLDFAST_ADMIN_PASSWORD", &self.admin.password)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true);
        Ok(command)
    }
}

impl Server {
    /// For watching what it costs.
    pub(crate) fn watched(&self) -> Option<Watched> {
        self.child.id().map(|pid| Watched {
            name: self.role,
            pid,
        })
    }

    /// Ends it at once, as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("{} cannot be ended", self.role))
    }

    async fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let mut connection = Connection::to(&self.target);
        let call = Call::get("/readyz".parse()?);
        loop {
            let answer = connection.send(&call).await;
            match answer {
                Ok(answer) if answer.status == StatusCode::OK => return Ok(()),
                Ok(answer) if Instant::now() > deadline => {
                    bail!(
                        "{} is not ready: {}",
                        self.role,
                        String::from_utf8_lossy(&answer.body)
                    )
                }
                Err(broken) if Instant::now() > deadline => {
                    return Err(broken).with_context(|| format!("{} does not answer", self.role));
                }
                _ => tokio::time::sleep(ASK_EVERY).await,
            }
        }
    }
}

/// Waits for the line that names the address; what comes after it is read and forgotten, so that
/// the pipe never fills or breaks.
async fn listening(child: &mut Child) -> Result<Target> {
    let stdout = child.stdout.take().context("its output cannot be read")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        let Some(rest) = line.strip_prefix(LISTENING) else {
            continue;
        };
        let url = rest.split_whitespace().next().unwrap_or_default();
        let target = Target::parse(url)?;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Ok(target);
    }
    bail!("it ended before it listened")
}

fn last_words(log_file: &Path) -> String {
    let log = std::fs::read_to_string(log_file).unwrap_or_default();
    log.lines().last().unwrap_or("it said nothing").to_owned()
}
