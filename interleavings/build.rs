//! Copies the sources of command-api into the build and plants the faults of [`plants`], so that
//! the code under test is what stands in the repository, with no test code in it.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[path = "src/plants.rs"]
#[allow(dead_code)]
mod plants;

/// command-api without its HTTP side.
const LEFT_OUT: &[&str] = &["http", "http.rs"];

fn main() -> io::Result<()> {
    let from = Path::new("../command-api/src");
    println!("cargo::rerun-if-changed={}", from.display());
    println!("cargo::rerun-if-changed=src/plants.rs");
    let to = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("command-api");
    if to.exists() {
        fs::remove_dir_all(&to)?;
    }
    let mut modules = String::new();
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if LEFT_OUT.contains(&name.as_str()) || name == "lib.rs" {
            continue;
        }
        copy(&path, &to.join(&name))?;
        match name.strip_suffix(".rs") {
            Some(module) => modules += &format!("pub mod {module};\n"),
            None if path.join("mod.rs").exists() => modules += &format!("pub mod {name};\n"),
            None => {}
        }
    }
    for edit in plants::EDITS {
        plant(&to.join(edit.file), edit)?;
    }
    fs::write(to.join("modules.rs"), modules)
}

/// What shuttle's tokio lacks, and what does the same.
const GAPS: &[(&str, &str)] = &[("watch::Sender::new(", "crate::watch_sender(")];

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = fs::read_to_string(from)?;
    for (lacks, instead) in GAPS {
        text = text.replace(lacks, instead);
    }
    fs::write(to, text)
}

fn plant(file: &Path, edit: &plants::Edit) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let found = text.matches(edit.from).count();
    assert_eq!(
        found, 1,
        "the planted fault {:?} stands on a text that is {found} times in command-api/src/{}; \
         change it in interleavings/src/plants.rs:\n{}",
        edit.plant, edit.file, edit.from
    );
    let planted = format!("crate::plants::is(crate::plants::Plant::{:?})", edit.plant);
    fs::write(
        file,
        text.replace(edit.from, &edit.to.replace("PLANTED", &planted)),
    )
}
