//! One server: what it holds, what it forgets, and what it answers.

use std::collections::{BTreeMap, BTreeSet};

use command_api::gate::memory::EpochData;
use command_api::gate::{Current, GateError, Rebuilt};
use domain::sku::Sku;
use record::Partition;

/// Master or replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Master,
    /// It follows the other server and takes none.
    Replica,
}

/// What is replicated, and saved to the file.
#[derive(Debug, Clone, Default)]
pub struct Data {
    pointer: Option<Pointer>,
    markers: BTreeSet<u64>,
    epochs: BTreeMap<u64, EpochData>,
}

#[derive(Debug, Clone)]
struct Pointer {
    epoch: u64,
    scripts: BTreeMap<String, String>,
    fences: BTreeMap<Partition, u64>,
}

/// A server.
#[derive(Debug)]
pub struct Server {
    /// Its name in histories.
    pub name: &'static str,
    /// Master or replica.
    pub role: Role,
    /// Whether its process runs.
    pub up: bool,
    /// Whether it answers nobody for now.
    pub hung: bool,
    /// Whether its memory is full.
    pub full: bool,
    /// Counts its starts: a call that waited does not outlive the process.
    pub starts: u64,
    /// Counts replication ids, of all servers.
    replid: u64,
    /// Scripts by their text, which names an epoch and a replication id.
    scripts: BTreeSet<(u64, u64)>,
    data: Data,
    /// Whether data may be damaged, so that a call is put back as a whole.
    damaged: bool,
    saved: Data,
    entries_per_generation: u64,
}

/// The script's name in the pointer; its "digest" tells the replication id.
const SCRIPT: &str = "replid";

impl Server {
    /// A server that was just started, empty.
    pub fn new(name: &'static str, role: Role, replid: u64, entries_per_generation: u64) -> Self {
        Self {
            name,
            role,
            up: true,
            hung: false,
            full: false,
            starts: 0,
            replid,
            scripts: BTreeSet::new(),
            data: Data::default(),
            damaged: false,
            saved: Data::default(),
            entries_per_generation,
        }
    }

    /// Its process ends: scripts and data are gone; the file stays.
    pub fn kill(&mut self) {
        self.up = false;
        self.hung = false;
        self.full = false;
        self.starts += 1;
        self.scripts.clear();
        self.data = Data::default();
    }

    /// Its process starts, with its file or without.
    pub fn start(&mut self, role: Role, replid: u64, with_file: bool) {
        self.up = true;
        self.role = role;
        self.replid = replid;
        if with_file {
            self.data = self.saved.clone();
        }
    }

    /// It becomes a master, with what it has.
    pub fn promote(&mut self, replid: u64) {
        self.role = Role::Master;
        self.replid = replid;
    }

    /// It becomes a replica of a master and takes over its data. Its scripts stay.
    pub fn follow(&mut self, data: Data, replid: u64) {
        self.role = Role::Replica;
        self.replid = replid;
        self.data = data;
    }

    /// What a replica would get now.
    pub fn replicated(&self) -> (Data, u64) {
        (self.data.clone(), self.replid)
    }

    /// Writes its file.
    pub fn save(&mut self) {
        self.saved = self.data.clone();
    }

    /// Everything is deleted; scripts stay.
    pub fn flush(&mut self) {
        self.data = Data::default();
    }

    /// Its scripts are gone; everything else stays.
    pub fn flush_scripts(&mut self) {
        self.scripts.clear();
    }

    /// Changes its replication id, as when a first replica attaches.
    pub fn change_replid(&mut self, replid: u64) {
        self.replid = replid;
    }

    /// Deletes an item's value in the newest epoch. Whether there was one.
    pub fn lose_item(&mut self, sku: &Sku) -> bool {
        self.damaged = true;
        let newest = self.data.epochs.values_mut().next_back();
        newest.is_some_and(|data| data.lose_item(sku))
    }

    /// The epoch that is published here and open, for the checks at the end.
    pub fn open_data(&self) -> Option<(u64, &EpochData)> {
        let pointer = self.data.pointer.as_ref()?;
        let data = self.data.epochs.get(&pointer.epoch)?;
        let current = self.current()?;
        self.check(&current).ok()?;
        Some((pointer.epoch, data))
    }

    /// The same of whichever server is a master.
    pub fn open_of(servers: &[Self]) -> Option<(u64, &EpochData)> {
        let mut masters = servers
            .iter()
            .filter(|server| server.up && server.role == Role::Master);
        masters.find_map(Self::open_data)
    }

    /// The pointer, which may name an epoch that is closed.
    pub fn current(&self) -> Option<Current> {
        let pointer = self.data.pointer.as_ref()?;
        let data = self.data.epochs.get(&pointer.epoch);
        Some(Current {
            epoch: pointer.epoch,
            scripts: pointer.scripts.clone(),
            fences: pointer.fences.clone(),
            generation: data.map_or(0, EpochData::generation),
        })
    }

    fn check(&self, current: &Current) -> Result<(), GateError> {
        let closed = |why: &str| Err(GateError::Closed(why.to_owned()));
        let replid = current.scripts.get(SCRIPT).and_then(|id| id.parse().ok());
        let Some(replid) = replid else {
            return Err(GateError::Damaged("the pointer names no script".to_owned()));
        };
        if !self.scripts.contains(&(current.epoch, replid)) {
            return closed("NOSCRIPT");
        }
        if self.role == Role::Replica {
            return closed("this server is a replica");
        }
        if self.replid != replid {
            return closed("the replication id has changed");
        }
        if !self.data.markers.contains(&current.epoch) {
            return closed("the marker is gone");
        }
        Ok(())
    }

    /// Runs a script of an epoch. An error undoes the whole call, as no script writes before all of
    /// its checks.
    ///
    /// # Errors
    /// That the epoch is closed here, or damaged.
    pub fn script<T>(
        &mut self,
        current: &Current,
        grows: bool,
        run: impl FnOnce(&mut EpochData) -> Result<T, GateError>,
    ) -> Result<T, GateError> {
        // Redis refuses a script that may grow before it looks at it.
        if grows && self.full {
            return Err(GateError::NotRun("OOM".to_owned()));
        }
        self.check(current)?;
        let empty = EpochData::new(self.entries_per_generation);
        let data = self.data.epochs.entry(current.epoch).or_insert(empty);
        if !self.damaged {
            return run(data);
        }
        let before = data.clone();
        let result = run(data);
        if result.is_err() {
            *data = before;
        }
        result
    }

    fn writable(&self) -> Result<(), GateError> {
        match (self.role, self.full) {
            (Role::Replica, _) => Err(GateError::Closed("READONLY".to_owned())),
            (Role::Master, true) => Err(GateError::NotRun("OOM".to_owned())),
            (Role::Master, false) => Ok(()),
        }
    }

    /// The replication id of a master whose pointer is below an epoch.
    ///
    /// # Errors
    /// That it is a replica, or that a higher epoch is current.
    pub fn master_replid(&self, below: u64) -> Result<u64, GateError> {
        if self.role == Role::Replica {
            return Err(GateError::Closed("this server is a replica".to_owned()));
        }
        match &self.data.pointer {
            Some(pointer) if pointer.epoch >= below => Err(GateError::Closed(format!(
                "epoch {} is current",
                pointer.epoch
            ))),
            _ => Ok(self.replid),
        }
    }

    /// Deletes the data of lower epochs, markers with them.
    ///
    /// # Errors
    /// That it is a replica.
    pub fn delete_below(&mut self, epoch: u64) -> Result<(), GateError> {
        if self.role == Role::Replica {
            return Err(GateError::Closed("READONLY".to_owned()));
        }
        self.data.markers.retain(|marked| *marked >= epoch);
        self.data.epochs.retain(|lower, _| *lower >= epoch);
        Ok(())
    }

    /// Writes the marker of an epoch.
    ///
    /// # Errors
    /// That it does not take writes.
    pub fn mark(&mut self, epoch: u64) -> Result<(), GateError> {
        self.writable()?;
        self.data.markers.insert(epoch);
        Ok(())
    }

    /// Writes pieces of an epoch. Plain commands: they check nothing.
    ///
    /// # Errors
    /// That it does not take writes.
    pub fn write(&mut self, epoch: u64, pieces: &[Rebuilt]) -> Result<(), GateError> {
        self.writable()?;
        let empty = EpochData::new(self.entries_per_generation);
        let data = self.data.epochs.entry(epoch).or_insert(empty);
        pieces.iter().for_each(|piece| data.take_in(piece.clone()));
        Ok(())
    }

    /// Loads the scripts of an epoch.
    pub fn load_scripts(&mut self, epoch: u64, replid: u64) {
        self.scripts.insert((epoch, replid));
    }

    /// Runs the script that publishes an epoch.
    ///
    /// # Errors
    /// That the epoch cannot be published here.
    pub fn publish(
        &mut self,
        epoch: u64,
        replid: u64,
        fences: &BTreeMap<Partition, u64>,
    ) -> Result<Current, GateError> {
        let pointer = Pointer {
            epoch,
            scripts: BTreeMap::from([(SCRIPT.to_owned(), replid.to_string())]),
            fences: fences.clone(),
        };
        let current = Current {
            epoch,
            scripts: pointer.scripts.clone(),
            fences: fences.clone(),
            generation: 0,
        };
        if self.full {
            return Err(GateError::NotRun("OOM".to_owned()));
        }
        self.check(&current)?;
        self.master_replid(epoch)?;
        // An epoch that was opened while this one was built ends in the same step.
        if let Some(lower) = &self.data.pointer {
            self.data.markers.remove(&lower.epoch);
            self.data.epochs.remove(&lower.epoch);
        }
        self.data.pointer = Some(pointer);
        Ok(current)
    }
}
