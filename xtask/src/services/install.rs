//! The programs that services are made of: found, or else installed.
//!
//! Redis, MariaDB and Java come as Debian packages through apt. Kafka is in no Debian package: its
//! jars come through Maven, into the user's cache, so that a second run, also of another checkout,
//! needs no network. A variable that the tests read for a program
//! (`HOLDFAST_TEST_REDIS_SERVER=…/valkey-server`) is also how to choose it.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::process;
use crate::checkout;

/// The oldest Redis that runs the gate's scripts (protocol: shebang scripts, `READONLY` from a
/// demoted master).
const REDIS_MAJOR_MIN: u32 = 7;
const KAFKA_POM: &str = include_str!("../../kafka/pom.xml");

/// Where the programs are.
pub(crate) struct Tools {
    pub(crate) redis_server: PathBuf,
    pub(crate) java: PathBuf,
    /// The directory of Kafka's jars.
    pub(crate) kafka_libs: PathBuf,
    pub(crate) mariadbd: PathBuf,
    pub(crate) mariadb_install_db: PathBuf,
    /// The client, used to see whether a login works.
    pub(crate) mariadb: PathBuf,
}

impl Tools {
    /// Where tests look for the programs.
    pub(crate) fn variables(&self) -> [(&'static str, OsString); 6] {
        [
            (REDIS_SERVER.variable, self.redis_server.clone().into()),
            (JAVA.variable, self.java.clone().into()),
            ("HOLDFAST_TEST_KAFKA_LIBS", self.kafka_libs.clone().into()),
            (MARIADBD.variable, self.mariadbd.clone().into()),
            (
                MARIADB_INSTALL_DB.variable,
                self.mariadb_install_db.clone().into(),
            ),
            (MARIADB.variable, self.mariadb.clone().into()),
        ]
    }
}

/// A program, the variable that overrides it and the Debian package that has it.
struct Program {
    name: &'static str,
    variable: &'static str,
    package: &'static str,
}

const REDIS_SERVER: Program = Program {
    name: "redis-server",
    variable: "HOLDFAST_TEST_REDIS_SERVER",
    package: "redis-server",
};
const JAVA: Program = Program {
    name: "java",
    variable: "HOLDFAST_TEST_JAVA",
    package: "default-jdk-headless",
};
const MARIADBD: Program = Program {
    name: "mariadbd",
    variable: "HOLDFAST_TEST_MARIADBD",
    package: "mariadb-server",
};
const MARIADB_INSTALL_DB: Program = Program {
    name: "mariadb-install-db",
    variable: "HOLDFAST_TEST_MARIADB_INSTALL_DB",
    package: "mariadb-server",
};
const MARIADB: Program = Program {
    name: "mariadb",
    variable: "HOLDFAST_TEST_MARIADB",
    package: "mariadb-client",
};
const MAVEN: Program = Program {
    name: "mvn",
    variable: "HOLDFAST_TEST_MAVEN",
    package: "maven",
};

/// Finds every program, after installing those that are missing.
pub(crate) fn tools() -> Result<Tools> {
    let cache = checkout::cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("Cannot create {}.", cache.display()))?;
    // Two runs that start together must not install at once: the second waits, then finds
    // everything.
    let lock = File::create(cache.join("install.lock"))?;
    lock.lock().context("Cannot lock the cache directory.")?;

    let kafka_libs = kafka_libs(&cache)?;
    let mut programs = vec![REDIS_SERVER, JAVA, MARIADBD, MARIADB_INSTALL_DB, MARIADB];
    if !kafka_libs.is_dir() {
        programs.push(MAVEN);
    }
    install_missing(&programs)?;
    if !kafka_libs.is_dir() {
        fetch_kafka(&kafka_libs)?;
    }
    let tools = Tools {
        redis_server: REDIS_SERVER.path()?,
        java: JAVA.path()?,
        kafka_libs,
        mariadbd: MARIADBD.path()?,
        mariadb_install_db: MARIADB_INSTALL_DB.path()?,
        mariadb: MARIADB.path()?,
    };
    check_redis_version(&tools.redis_server)?;
    Ok(tools)
}

impl Program {
    fn find(&self) -> Option<PathBuf> {
        if let Some(chosen) = env::var_os(self.variable).filter(|value| !value.is_empty()) {
            return Some(PathBuf::from(chosen));
        }
        find(self.name)
    }

    fn path(&self) -> Result<PathBuf> {
        self.find().with_context(|| {
            format!(
                "{} is still missing: put it into the PATH, or set {}.",
                self.name, self.variable
            )
        })
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks the folders of servers.
    let of_servers = ["/usr/local/sbin", "/usr/sbin", "/usr/libexec"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(of_servers)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn install_missing(programs: &[Program]) -> Result<()> {
    let missing: Vec<&Program> = programs.iter().filter(|p| p.find().is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    packages.dedup();
    let packages = packages.join(" ");
    if Path::new("/usr/bin/apt-get").is_file() {
        return apt_install(&packages);
    }
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    bail!(
        "{} is missing and this system has no apt-get: install the like of Debian's {packages}, or start a Docker \
         engine and use `cargo xtask up`.",
        names.join(", ")
    );
}

fn apt_install(packages: &str) -> Result<()> {
    let mut command = if process::is_root() {
        Command::new("sh")
    } else if let Some(sudo) = find("sudo") {
        let mut command = Command::new(sudo);
        command.arg("sh");
        command
    } else {
        bail!("Packages are missing: run `apt-get install {packages}` as root.");
    };
    command
        .args(["-c", include_str!("install.sh"), "install"])
        .args(packages.split(' '));
    eprintln!("xtask: installing {packages} with apt (their services are not started)");
    if !process::run_to_end(&mut command)?.success() {
        bail!(
            "Installing failed: run `apt-get install {packages}` as root and look at its messages."
        );
    }
    Ok(())
}

/// Where Kafka's jars are, or will be. The version is in the name, so that a new one is fetched
/// beside the old.
fn kafka_libs(cache: &Path) -> Result<PathBuf> {
    if let Some(chosen) = env::var_os("HOLDFAST_TEST_KAFKA_LIBS").filter(|value| !value.is_empty())
    {
        return Ok(PathBuf::from(chosen));
    }
    Ok(cache.join(format!("kafka-{}", kafka_version()?)))
}

fn kafka_version() -> Result<&'static str> {
    KAFKA_POM
        .split_once("<kafka.version>")
        .and_then(|(_, rest)| rest.split_once("</kafka.version>"))
        .map(|(version, _)| version)
        .context("xtask/kafka/pom.xml names no kafka.version.")
}

/// Maven writes beside the final place; the rename makes an interrupted download invisible.
fn fetch_kafka(libs: &Path) -> Result<()> {
    let version = kafka_version()?;
    eprintln!("xtask: fetching Kafka {version} with Maven");
    let unfinished = libs.with_file_name(format!("kafka-{version}-unfinished"));
    let fetched = unfinished.join("libs");
    fs::create_dir_all(&unfinished)?;
    let pom = unfinished.join("pom.xml");
    fs::write(&pom, KAFKA_POM)?;
    let mut command = Command::new(MAVEN.path()?);
    command
        .args([
            "--batch-mode",
            "--quiet",
            "-Dstyle.color=never",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ])
        .arg("--file")
        .arg(&pom)
        .arg(format!("-DoutputDirectory={}", fetched.display()));
    if !process::run_to_end(&mut command)?.success() {
        bail!("Maven could not fetch Kafka's jars: see its messages above, then run this again.");
    }
    fs::rename(&fetched, libs).context("Cannot put Kafka's jars into the cache.")?;
    fs::remove_dir_all(&unfinished)?;
    Ok(())
}

fn check_redis_version(server: &Path) -> Result<()> {
    let output = Command::new(server)
        .arg("--version")
        .output()
        .with_context(|| format!("{} cannot be run.", server.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match major_version(&text) {
        Some(major) if major < REDIS_MAJOR_MIN => bail!(
            "{} is Redis {major}, Holdfast needs {REDIS_MAJOR_MIN} or newer: name one in {}.",
            server.display(),
            REDIS_SERVER.variable
        ),
        _ => Ok(()),
    }
}

/// Reads the 7 of `Redis server v=7.0.15 sha=…`; Valkey prints the same form.
fn major_version(text: &str) -> Option<u32> {
    text.split_once("v=")?.1.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_redis_is_read_from_its_own_words() {
        assert_eq!(
            major_version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1"),
            Some(7)
        );
        assert_eq!(
            major_version("Valkey server v=9.1.0 sha=00000000:0"),
            Some(9)
        );
        assert_eq!(major_version("something else"), None);
    }

    #[test]
    fn the_pom_names_the_version_of_kafka() {
        assert!(kafka_version().unwrap().starts_with("4."));
    }
}
