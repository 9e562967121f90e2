//! A Redis, a Kafka or a MariaDB of a test's own, to be paused and killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::process::signal;
use super::{PATIENCE, environment, turns};

/// Below the range from which Linux takes the ports of outgoing connections and of listeners on
/// port 0, so that neither takes a server's port before its start, or while it is killed; and not
/// those of the services that `cargo xtask` starts.
const PORTS: std::ops::Range<u16> = 10_000..20_000;
/// In a server's directory: all that it has written.
const LOG: &str = "log";
const LOG_LINES_SHOWN: usize = 30;

/// A server with a port and a directory of its own. Dropped, it is killed.
pub(crate) struct Server {
    directory: TempDir,
    pub(crate) port: u16,
    start: Command,
    pub(crate) process: Child,
}

/// Holds back other tests that start a broker or a database of their own: each of them is a
/// machine's worth of work.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

impl Server {
    /// Redis, as the documentation wants it: no saves, no eviction.
    pub(crate) async fn redis() -> Self {
        let port = free_port();
        let mut command = Command::new(environment("HOLDFAST_TEST_REDIS_SERVER"));
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--maxmemory-policy", "noeviction"]);
        Self::start(tempfile::tempdir().unwrap(), port, command).await
    }

    /// One KRaft node that is broker and controller.
    pub(crate) async fn kafka() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (port, controller) = (free_port(), free_port());
        let settings = directory.path().join("server.properties");
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             auto.create.topics.enable=false\nlog.cleaner.dedupe.buffer.size=16777216\n",
            directory.path().join("data").display()
        );
        std::fs::write(&settings, properties).unwrap();
        let mut format = java("kafka.tools.StorageTool");
        format.args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c"]);
        succeed(format.arg(&settings));
        let mut command = java("kafka.Kafka");
        command.arg(settings);
        Self::start(directory, port, command).await
    }

    /// MariaDB with the user `holdfast` and this password, who may do everything.
    pub(crate) async fn mariadb(password: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let data = format!("--datadir={}", directory.path().join("data").display());
        // Run by root, it must be told to stay root.
        let user = format!("--user={}", user());
        // In the place that all share, another test's server may use the same names.
        let temporary = format!("--tmpdir={}", directory.path().display());
        let mut install = Command::new(environment("HOLDFAST_TEST_MARIADB_INSTALL_DB"));
        install.args(["--no-defaults", "--skip-test-db"]);
        succeed(install.args([&data, &user, &temporary]));
        let grant = directory.path().join("init.sql");
        let sql =
            format!("GRANT ALL ON *.* TO 'holdfast'@'127.0.0.1' IDENTIFIED BY '{password}';\n");
        std::fs::write(&grant, sql).unwrap();
        let mut command = Command::new(environment("HOLDFAST_TEST_MARIADBD"));
        command.args([
            "--no-defaults",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
        ]);
        command.args([
            data,
            user,
            temporary,
            format!("--port={port}"),
            format!("--init-file={}", grant.display()),
            format!("--socket={}", directory.path().join("socket").display()),
            format!("--pid-file={}", directory.path().join("pid").display()),
        ]);
        Self::start(directory, port, command).await
    }

    /// Starts this command, whose server listens on that port, and waits until it does.
    pub(crate) async fn start(directory: TempDir, port: u16, mut command: Command) -> Self {
        let log = File::create(directory.path().join(LOG)).unwrap();
        let logged = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let process = logged.current_dir(directory.path()).spawn().unwrap();
        let mut server = Self {
            directory,
            port,
            start: command,
            process,
        };
        server.accepts().await;
        server
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it as a power cut would, but for what the kernel still writes.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with what it finds in its directory.
    pub(crate) async fn restart(&mut self) {
        self.process = self.start.spawn().unwrap();
        self.accepts().await;
    }

    /// Stops all of its instructions.
    pub(crate) fn pause(&self) {
        signal(self.process.id(), "-STOP");
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        signal(self.process.id(), "-CONT");
    }

    /// One command of Redis, in its inline protocol.
    pub(crate) fn command(&self, line: &str) {
        self.commands(&[line]);
    }

    /// Some, and nobody else's in between.
    pub(crate) fn commands(&self, lines: &[&str]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let all: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        stream.write_all(all.as_bytes()).unwrap();
        let mut answers = BufReader::new(stream).lines();
        for line in lines {
            let answer = answers.next().expect("an answer").unwrap();
            assert!(!answer.starts_with('-'), "{line}: {answer}");
        }
    }

    /// What a command of Redis answers, where that is one string.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut call = format!("*{}\r\n", words.len());
        for word in words {
            call.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(call.as_bytes()).unwrap();
        let (mut reader, mut answer) = (BufReader::new(stream), String::new());
        reader.read_line(&mut answer).unwrap();
        assert!(!answer.starts_with('-'), "{answer}");
        if answer.starts_with('$') {
            answer.clear();
            reader.read_line(&mut answer).unwrap();
        }
        answer.trim_end().to_owned()
    }

    async fn accepts(&mut self) {
        let accepted = tokio::time::timeout(PATIENCE, async {
            let mut turns = turns();
            loop {
                turns.tick().await;
                if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                    return Ok(());
                }
                if let Some(status) = self.process.try_wait().unwrap() {
                    return Err(status);
                }
            }
        })
        .await;
        if accepted != Ok(Ok(())) {
            let (start, log) = (&self.start, self.end_of_log());
            panic!("it does not accept connections ({accepted:?}): {start:?}\n{log}");
        }
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read(self.directory.path().join(LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The test may have killed it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that this process gives to nobody else. Each process begins at another place, so that two
/// at once look for theirs in different places.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    let begin = std::process::id().wrapping_mul(97) % count;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < count, "no port below {} is free", PORTS.end);
        let port = u16::try_from(u32::from(PORTS.start) + (begin + next) % count).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn java(class: &str) -> Command {
    let libraries = PathBuf::from(environment("HOLDFAST_TEST_KAFKA_LIBS")).join("*");
    let mut command = Command::new(environment("HOLDFAST_TEST_JAVA"));
    command.args([
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
    ]);
    command.arg(libraries).arg(class);
    command
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[track_caller]
pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
