//! Starting, watching and stopping the processes of services, and the command that is run beside
//! them.
//!
//! Two lifetimes exist. A throwaway process must never outlive xtask, however that ends: the kernel
//! kills it when its parent dies. A lasting one must outlive it: it gets a session of its own. Both
//! are kept out of the terminal's process group, so that Ctrl-C reaches xtask and the command it
//! runs, and the services end only after that command.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a service may take until it answers: a cold JVM beside a compiler on two cores is slow.
const START_TIME_MAX: Duration = Duration::from_secs(240);
/// How long the command may take to end after it was asked to.
const END_TIME_MAX: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const LOG_LINES_SHOWN: usize = 15;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether a service ends with xtask or goes on after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Killed when xtask ends, in whatever way.
    Throwaway,
    /// Goes on until `cargo xtask down`.
    Lasting,
}

/// A started service and how to see that it answers.
pub(crate) struct Service {
    /// What people call it, as in "Kafka".
    pub(crate) name: String,
    /// Its process, also the leader of its process group.
    pub(crate) child: Child,
    log: PathBuf,
    answers: Box<dyn Fn() -> bool>,
}

impl Service {
    /// Starts `command` with its output in `DIR/log`.
    pub(crate) fn start(
        name: &str,
        dir: &Path,
        lifetime: Lifetime,
        command: &mut Command,
        answers: impl Fn() -> bool + 'static,
    ) -> Result<Self> {
        let log = dir.join("log");
        let output = File::create(&log)
            .with_context(|| format!("Cannot write {}: choose another --dir.", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        match lifetime {
            Lifetime::Throwaway => end_with_parent(command.process_group(0), libc::SIGKILL),
            Lifetime::Lasting => in_own_session(command),
        };
        let child = command
            .spawn()
            .with_context(|| format!("{name} cannot be started."))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            answers: Box::new(answers),
        })
    }

    /// Waits until the service answers. It ends early if the service dies or the user interrupts.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let give_up_at = Instant::now() + START_TIME_MAX;
        while !(self.answers)() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended while starting ({status}). {}",
                    self.name,
                    self.end_of_log()
                );
            }
            if interrupted() {
                bail!("Interrupted while {} was starting.", self.name);
            }
            if Instant::now() > give_up_at {
                let waited = START_TIME_MAX.as_secs();
                bail!(
                    "{} does not answer after {waited} s. {}",
                    self.name,
                    self.end_of_log()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Kills the service and everything that it started.
    pub(crate) fn kill(&mut self) {
        signal(Target::Group(self.child.id()), libc::SIGKILL);
        // Nothing can be done about a failure here, and the kernel reaps what we leave behind.
        let _ = self.child.wait();
    }

    fn end_of_log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        format!("The end of its log, {}:\n{shown}", self.log.display())
    }
}

/// Runs a command in the foreground to its end. When xtask is told to end, so is the command.
///
/// On a terminal the command stays in the terminal's process group, so that it may read and Ctrl-C
/// reaches it. Elsewhere it gets a group of its own, so that what it started (test binaries under
/// `cargo test`) ends with it.
pub(crate) fn run_to_end(command: &mut Command) -> Result<ExitStatus> {
    let on_terminal = io::stdin().is_terminal();
    if !on_terminal {
        command.process_group(0);
    }
    end_with_parent(command, libc::SIGTERM);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| {
        format!("{program} cannot be started: is it installed and in the PATH?")
    })?;
    let target = if on_terminal {
        Target::One(child.id())
    } else {
        Target::Group(child.id())
    };
    let mut kill_at = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupted() && kill_at.is_none() {
            signal(target, libc::SIGTERM);
            kill_at = Some(Instant::now() + END_TIME_MAX);
        }
        if kill_at.is_some_and(|at| Instant::now() > at) {
            signal(target, libc::SIGKILL);
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Asks processes that are not our children to end, all at once: the nodes of a Kafka cluster
/// cannot take leave of a quorum that is gone. What has not ended within `patience` is made to.
pub(crate) fn stop(pids: &[u32], patience: Duration) {
    for pid in pids {
        signal(Target::One(*pid), libc::SIGTERM);
    }
    let kill_at = Instant::now() + patience;
    while pids.iter().any(|pid| is_alive(*pid)) {
        if Instant::now() > kill_at {
            pids.iter()
                .for_each(|pid| signal(Target::Group(*pid), libc::SIGKILL));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Whether a process runs; one that has ended and only waits to be reaped does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| !rest.trim().starts_with('Z'))
    })
}

/// The arguments of a running process, separated by blanks.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}

/// Whether this process has the rights of root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// From here on a request to end is remembered instead of obeyed, so that services are stopped in
/// order.
pub(crate) fn remember_interrupts() {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(number, remember as *const () as libc::sighandler_t) };
    }
}

/// Whether xtask was told to end.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

extern "C" fn remember(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

#[derive(Clone, Copy)]
enum Target {
    One(u32),
    Group(u32),
}

fn signal(target: Target, number: libc::c_int) {
    let pid = match target {
        Target::One(pid) => pid.cast_signed(),
        Target::Group(pid) => -pid.cast_signed(),
    };
    // SAFETY: kill touches no memory of ours. A process that has ended already is no error to us.
    unsafe { libc::kill(pid, number) };
}

/// Lets the kernel send `number` to the command when the thread that starts it ends: that is
/// xtask's only one.
fn end_with_parent(command: &mut Command, number: libc::c_int) {
    #[cfg(target_os = "linux")]
    // SAFETY: prctl is async-signal-safe and sets only an attribute of the new process.
    unsafe {
        command.pre_exec(move || match libc::prctl(libc::PR_SET_PDEATHSIG, number) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (command, number);
}

/// Detaches the command from the terminal and from our process group.
fn in_own_session(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe; it cannot fail in a process that was just forked.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}
