//! F5: Redis is killed and comes back with its file whole, cut off or gone; it is flushed, loses one
//! value or its scripts, is paused, is full, cannot save.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::Row;
use crate::load::HOT;
use crate::redis::ask;
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row!(
        "F5.a",
        "Redis killed and restarted, its file gone",
        f05_file_gone
    ),
    row!(
        "F5.b",
        "killed and restarted, its file whole but old",
        f05_file_whole
    )
    .in_short(),
    row!(
        "F5.c",
        "killed and restarted, its file cut off",
        f05_file_cut_off
    ),
    row!("F5.d", "flushed", f05_flushed),
    row!("F5.e", "one SKU's value deleted", f05_one_value_deleted),
    row!(
        "F5.f",
        "one SKU's value overwritten with what cannot be read",
        f05_one_value_garbage
    ),
    row!("F5.g", "paused for 5 s", f05_paused),
    row!("F5.h", "scripts flushed, three times", f05_scripts_flushed),
    row!("F5.i", "memory full for 3 s", f05_memory_full),
    row!(
        "F5.j",
        "flushed, and memory full while it is rebuilt",
        f05_memory_full_in_a_rebuild
    ),
    row!(
        "F5.k",
        "its disk is full: it cannot save, and refuses writes",
        f05_cannot_save
    ),
];

impl Scene<'_> {
    async fn redis(&self, words: &[&str]) -> String {
        ask(&self.shop.redis[0], words).await
    }

    /// Where Redis keeps its files; it has to run.
    async fn redis_folder(&self) -> PathBuf {
        let said = self.redis(&["CONFIG", "GET", "dir"]).await;
        PathBuf::from(said.lines().last().unwrap())
    }

    async fn redis_dies(&mut self) {
        self.begins();
        self.shop.redis[0].kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn f05_file_gone(scene: &mut Scene<'_>) {
    let folder = scene.redis_folder().await;
    scene.redis(&["SAVE"]).await;
    scene.redis_dies().await;
    fs::remove_file(folder.join("dump.rdb")).unwrap();
    scene.shop.redis[0].restart().await;
    scene.is_over();
}

async fn f05_file_whole(scene: &mut Scene<'_>) {
    scene.redis(&["SAVE"]).await;
    scene.load.accepts(20).await;
    scene.redis_dies().await;
    scene.shop.redis[0].restart().await;
    scene.is_over();
}

/// The file of appends, of which the last part is missing.
async fn f05_file_cut_off(scene: &mut Scene<'_>) {
    let folder = scene.redis_folder().await;
    scene.redis(&["CONFIG", "SET", "appendonly", "yes"]).await;
    scene.redis(&["CONFIG", "REWRITE"]).await;
    scene.load.accepts(40).await;
    scene.redis_dies().await;
    let files = fs::read_dir(folder.join("appendonlydir")).unwrap();
    let appended = files.map(|file| file.unwrap().path());
    let appended = appended.filter(|file| file.to_string_lossy().ends_with(".incr.aof"));
    for file in appended {
        let file = fs::OpenOptions::new().write(true).open(file).unwrap();
        let length = file.metadata().unwrap().len();
        scene.expect(length > 1000, "Redis appended nothing to its file");
        file.set_len(length * 2 / 3 + 7).unwrap();
    }
    scene.shop.redis[0].restart().await;
    scene.is_over();
}

async fn f05_flushed(scene: &mut Scene<'_>) {
    scene.redis(&["FLUSHALL"]).await;
    scene.is_over();
}

async fn f05_one_value_deleted(scene: &mut Scene<'_>) {
    let items = scene.shop.gate_key("items").await;
    let deleted = scene.redis(&["HDEL", &items, HOT]).await;
    scene.expect(deleted == "1", "there was no value to delete");
    scene.is_over();
}

async fn f05_one_value_garbage(scene: &mut Scene<'_>) {
    let items = scene.shop.gate_key("items").await;
    scene.redis(&["HSET", &items, HOT, "9|x"]).await;
    scene.is_over();
}

async fn f05_paused(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.redis[0].pause();
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.shop.redis[0].go_on();
    scene.is_over();
}

async fn f05_scripts_flushed(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..3 {
        scene.redis(&["SCRIPT", "FLUSH"]).await;
        scene.load.accepts(10).await;
    }
    scene.is_over();
}

async fn f05_memory_full(scene: &mut Scene<'_>) {
    scene.begins();
    scene.redis(&["CONFIG", "SET", "maxmemory", "1"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.redis(&["CONFIG", "SET", "maxmemory", "0"]).await;
    scene.is_over();
}

async fn f05_memory_full_in_a_rebuild(scene: &mut Scene<'_>) {
    scene.begins();
    scene.redis(&["CONFIG", "SET", "maxmemory", "1"]).await;
    scene.redis(&["FLUSHALL"]).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.redis(&["CONFIG", "SET", "maxmemory", "0"]).await;
    scene.is_over();
}

/// It shall save to a name that a folder has, which fails as a full disk does.
async fn f05_cannot_save(scene: &mut Scene<'_>) {
    fs::create_dir(scene.redis_folder().await.join("folder")).unwrap();
    scene.begins();
    scene.redis(&["CONFIG", "SET", "save", "1 1"]).await;
    scene
        .redis(&["CONFIG", "SET", "dbfilename", "folder"])
        .await;
    // Nobody but the nodes writes to it.
    crate::harness::eventually("Redis refuses a write for it", async || {
        let said = ask(&scene.shop.redis[0], &["INFO", "errorstats"]).await;
        said.contains("errorstat_MISCONF:").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene
        .redis(&["CONFIG", "SET", "dbfilename", "dump.rdb"])
        .await;
    scene.redis(&["CONFIG", "SET", "save", ""]).await;
    scene.is_over();
}
