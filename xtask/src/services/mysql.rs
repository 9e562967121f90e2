//! MariaDB, which stands in for MySQL where there is no Docker engine: Debian has no other in its
//! packages.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::install::Tools;
use super::process::{self, Lifetime, Service};

/// The user may do everything, for every test creates a database of its own. The server listens on
/// the loopback interface only, and skips name resolution, so that `127.0.0.1` is what it sees.
const INIT_SQL: &str = "\
CREATE DATABASE IF NOT EXISTS holdfast CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'holdfast'@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING PASSWORD('holdfast');
GRANT ALL ON *.* TO 'holdfast'@'127.0.0.1';
";

/// Starts a MariaDB on the loopback interface with user, password and database `holdfast`.
pub(crate) fn start(tools: &Tools, dir: &Path, port: u16, lifetime: Lifetime) -> Result<Service> {
    fs::write(dir.join("init.sql"), INIT_SQL)?;
    let mut command = Command::new("sh");
    command
        .args(["-c", include_str!("mysql.sh"), "mysql"])
        .env("INSTALL_DB", &tools.mariadb_install_db)
        .env("MARIADBD", &tools.mariadbd)
        .env("SERVER_DIR", dir)
        .env("PORT", port.to_string());
    if process::is_root() {
        // It stays root: the package's user cannot enter a checkout in a private home directory,
        // and a change of user would end the arrangement by which the kernel kills it with xtask.
        command.arg("--user=root");
    }
    let client = tools.mariadb.clone();
    Service::start("MySQL", dir, lifetime, &mut command, move || {
        accepts_login(&client, port)
    })
}

fn accepts_login(client: &Path, port: u16) -> bool {
    Command::new(client)
        .args([
            "--no-defaults",
            "--host=127.0.0.1",
            "--user=holdfast",
            "--execute=SELECT 1",
        ])
        .arg(format!("--port={port}"))
        .env("MYSQL_PWD", "holdfast")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
