//! Reads single records by position: one consumer on a thread of its own, to which requests queue.
//! In each round it takes at most one request per partition and reads them side by side.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use record::{Partition, Position};
use tokio::sync::oneshot;

use super::cluster::Cluster;
use super::native::{Batches, Fetched};
use super::tail;
use crate::{LogError, RawRecord};

/// A record that did not come within this time is asked for again by the caller.
const READ_WITHIN: Duration = Duration::from_secs(5);

type Answer = oneshot::Sender<Result<RawRecord, LogError>>;

/// Where requests are put. The thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Reader(Sender<(Position, Answer)>);

impl Reader {
    pub(super) fn start(cluster: Arc<Cluster>) -> Result<Self, LogError> {
        let batches = tail::consumer(&cluster, &cluster.settings().reader())?;
        let (sender, requests) = channel();
        let worker = Worker { cluster, batches };
        std::thread::Builder::new()
            .name("log-reader".to_owned())
            .spawn(move || worker.run(&requests))
            .map_err(|error| LogError::Unavailable(format!("no thread for reads: {error}")))?;
        Ok(Self(sender))
    }

    pub(super) async fn read_at(&self, position: Position) -> Result<RawRecord, LogError> {
        let stopped = || LogError::Unavailable("the reader has stopped".to_owned());
        let (answer, answered) = oneshot::channel();
        self.0.send((position, answer)).map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

struct Worker {
    cluster: Arc<Cluster>,
    batches: Batches,
}

/// The requests of one round.
type Round = BTreeMap<Partition, (u64, Answer)>;

impl Worker {
    fn run(mut self, requests: &Receiver<(Position, Answer)>) {
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() {
                let Ok(request) = requests.recv() else {
                    return;
                };
                waiting.push(request);
            }
            waiting.extend(requests.try_iter());
            let mut round = Round::new();
            let mut later = Vec::new();
            for (Position { partition, offset }, answer) in waiting {
                match round.entry(partition) {
                    Entry::Vacant(free) => {
                        free.insert((offset, answer));
                    }
                    Entry::Occupied(_) => later.push((Position { partition, offset }, answer)),
                }
            }
            waiting = later;
            self.read(round);
        }
    }

    fn read(&mut self, mut round: Round) {
        let from: Vec<Position> = round
            .iter()
            .map(|(partition, (offset, _))| Position {
                partition: *partition,
                offset: *offset,
            })
            .collect();
        let assigned = tail::assign(&self.cluster, &self.batches, &from);
        let deadline = Instant::now() + READ_WITHIN;
        while assigned.is_ok() && !round.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            for fetched in self.batches.fetch(left) {
                self.answer(fetched, &mut round);
            }
        }
        // Otherwise it would go on fetching what follows.
        self.batches.unassign();
        for (partition, (offset, answer)) in round {
            let late = format!("{partition}@{offset} was not read in time");
            // Who does not wait any more needs no answer.
            let _ = answer.send(Err(LogError::Unavailable(late)));
        }
    }

    fn answer(&self, fetched: Fetched, round: &mut Round) {
        let (partition, found) = match fetched {
            Fetched::Record(partition, record) => (partition, Ok(record)),
            Fetched::Failed {
                partition: Some(partition),
                code,
                text,
            } => (partition, Err((code, text))),
            Fetched::Failed { .. } => return,
        };
        let Some((wanted, _)) = round.get(&partition) else {
            return;
        };
        let position = Position {
            partition,
            offset: *wanted,
        };
        let outcome = match found {
            Ok(record) if record.offset < position.offset => return,
            Ok(record) if record.offset == position.offset => Ok(record),
            // What comes first stands behind it: there is a hole.
            Ok(_) => Err(self.cluster.shortened(position)),
            Err((RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::AutoOffsetReset, _)) => {
                Err(self.cluster.shortened(position))
            }
            Err((code, text)) => {
                tracing::debug!(?code, text, "a read met an error and goes on");
                return;
            }
        };
        if let Some((_, answer)) = round.remove(&partition) {
            let _ = answer.send(outcome);
        }
    }
}
