//! A Redis of a test's own, to be killed, flushed, paused and promoted.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use command_api::gate::GateError;
use command_api::gate::redis::{RedisGate, RedisSettings};
use redis::{FromRedisValue, Value, cmd};

use super::{environment, settings};

/// Below the range from which Linux takes the ports of outgoing connections and of listeners on
/// port 0, so that neither takes a server's port before its start, or while it is killed.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// Dropped, it is killed.
pub(crate) struct Server {
    arguments: Vec<String>,
    port: u16,
    directory: tempfile::TempDir,
    process: Child,
}

impl Server {
    /// Starts an empty server with these arguments beside the usual ones.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        let directory = tempfile::tempdir().expect("a directory can be made");
        let port = free_port();
        let process = spawn(&arguments, port, &directory);
        Self {
            arguments,
            port,
            directory,
            process,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> String {
        self.port.to_string()
    }

    /// How its gate is reached: one namespace, as there is nobody else.
    pub(crate) fn settings(&self) -> RedisSettings {
        RedisSettings {
            namespace: "holdfast".to_owned(),
            ..settings(&self.url())
        }
    }

    pub(crate) fn gate(&self) -> Result<RedisGate, GateError> {
        RedisGate::new(&self.settings())
    }

    /// Kills it without warning.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// Starts it again on the same port with what it finds in its directory.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.arguments, self.port, &self.directory);
    }

    /// Stops all of its instructions until [`Server::go_on`].
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill")
            .args([signal, &pid])
            .status()
            .expect("there is a kill");
        assert!(sent.success());
    }

    /// A connection of the operator's.
    pub(crate) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("the URL can be read");
        client.get_connection().expect("it runs")
    }

    /// One command of the operator's, in words.
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = cmd(words.next().expect("a command has a name"));
        for word in words {
            command.arg(word);
        }
        command
            .query(&mut self.connection())
            .expect("Redis does it")
    }

    pub(crate) fn order(&self, words: &str) {
        self.ask::<Value>(words);
    }

    /// The key of an epoch that ends so.
    pub(crate) fn key(&self, name: &str) -> String {
        let mut keys: Vec<String> = self.ask(&format!("KEYS *:{name}"));
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys.remove(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that this process gives to nobody else, from a place that differs from process to process.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    let begin = std::process::id().wrapping_mul(97) % count;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < count, "no port below {} is free", PORTS.end);
        let port = u32::from(PORTS.start) + (begin + next) % count;
        let port = u16::try_from(port).expect("it is in the range");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Starts a server and waits until it says that it is ready.
fn spawn(arguments: &[String], port: u16, directory: &tempfile::TempDir) -> Child {
    let mut process = Command::new(environment("HOLDFAST_TEST_REDIS_SERVER"))
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args([
            "--save",
            "",
            "--enable-debug-command",
            "local",
            "--repl-diskless-sync-delay",
            "0",
        ])
        .args(arguments)
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("HOLDFAST_TEST_REDIS_SERVER names a redis-server");
    let output = process.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(output).lines();
    let ready = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains("Ready to accept"));
    assert!(ready, "redis-server starts");
    std::thread::spawn(move || lines.for_each(drop));
    process
}
