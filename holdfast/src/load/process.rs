//! What each process has cost so far: CPU time out of `/proc`.
//!
//! Where `/proc` cannot be read (another system, somebody else's process) there is no figure,
//! never a wrong one.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// How the kernel counts CPU time for user space: hundredths of a second, on every architecture
/// that this runs on.
const TICK: Duration = Duration::from_millis(10);
/// A socket that listens, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A process whose cost is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    /// What it is to people.
    pub(crate) name: &'static str,
    /// Its id.
    pub(crate) pid: u32,
}

impl Watched {
    /// This process.
    pub(crate) fn own(name: &'static str) -> Self {
        Self {
            name,
            pid: std::process::id(),
        }
    }

    /// The process of this machine that listens on a port; `None` where it cannot be seen.
    pub(crate) fn listening(name: &'static str, port: u16) -> Option<Self> {
        let sockets = listening_sockets(port);
        let pid = processes().find(|pid| holds_one_of(*pid, &sockets))?;
        Some(Self { name, pid })
    }

    /// CPU time so far, user's and kernel's; `None` where it cannot be read.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        ticks(&stat).map(|ticks| TICK * ticks)
    }
}

/// What a list of processes cost between two moments.
#[derive(Debug)]
pub(crate) struct Meter {
    before: Vec<(Watched, Option<Duration>)>,
}

impl Meter {
    /// Begins to measure.
    pub(crate) fn start(processes: &[Watched]) -> Self {
        let before = processes
            .iter()
            .map(|watched| (watched.clone(), watched.cpu()))
            .collect();
        Self { before }
    }

    /// CPU time since the start, of every process that can be read.
    pub(crate) fn read(&self) -> Vec<(&'static str, Duration)> {
        let since = |(watched, before): &(Watched, Option<Duration>)| {
            let spent = watched.cpu()?.checked_sub((*before)?)?;
            Some((watched.name, spent))
        };
        self.before.iter().filter_map(since).collect()
    }
}

/// The 14th and 15th field; the second may hold anything, in parentheses.
fn ticks(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let kernel: u32 = fields.next()?.parse().ok()?;
    user.checked_add(kernel)
}

/// The inodes of sockets that listen on this port, as `/proc/PID/fd` names them.
fn listening_sockets(port: u16) -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|table| fs::read_to_string(table).unwrap_or_default());
    let end = format!(":{port:04X}");
    let socket = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&end) && *fields.get(3)? == LISTEN;
        listens.then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
    };
    tables
        .iter()
        .flat_map(|table| table.lines().filter_map(socket))
        .collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn holds_one_of(pid: u32, sockets: &BTreeSet<String>) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| {
            target
                .to_str()
                .is_some_and(|target| sockets.contains(target))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 120 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(150));
    }

    #[test]
    fn who_listens_on_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = Watched::listening("this test", port);
        assert_eq!(found, Some(Watched::own("this test")));
    }
}
