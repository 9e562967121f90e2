//! Redis: the gate's data, without persistence, for a new epoch rebuilds it from the log.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::install::Tools;
use super::process::{Lifetime, Service};

const PATIENCE: Duration = Duration::from_secs(1);

/// Starts a Redis on the loopback interface. The process title stays as given: `down` recognises it
/// by its directory.
pub(crate) fn start(tools: &Tools, dir: &Path, port: u16, lifetime: Lifetime) -> Result<Service> {
    let mut command = Command::new(&tools.redis_server);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory-policy",
            "noeviction",
        ])
        .args(["--set-proc-title", "no", "--dir"])
        .arg(dir);
    Service::start("Redis", dir, lifetime, &mut command, move || answers(port))
}

fn answers(port: u16) -> bool {
    ping(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok_and(|reply| &reply == b"+PONG")
}

fn ping(address: SocketAddr) -> std::io::Result<[u8; 5]> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"PING\r\n")?;
    let mut reply = [0; 5];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}
