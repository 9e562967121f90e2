//! What is projected: which log this is (the id of the first claim in `epochs`) and which of its
//! partitions hold what read models are made of.

use std::sync::Arc;

use event_log::{Batch, EventLog, LogError};
use record::epochs::EpochEntry;
use record::{Partition, Position};
use uuid::Uuid;

/// The id of the log. Waits for its first claim where there is none yet: without an epoch there
/// are no records either. Safe to cancel.
///
/// # Errors
/// When the log does not answer or its first claim cannot be read.
pub async fn log_id(log: &Arc<dyn EventLog>) -> Result<Uuid, LogError> {
    let start = Position {
        partition: Partition::EPOCHS,
        offset: 0,
    };
    let mut tail = log.tail(vec![start]).await?;
    loop {
        if let Some(id) = first_claim(&tail.next().await?)? {
            return Ok(id);
        }
    }
}

/// All partitions that read models are made of.
pub(crate) fn partitions(log: &Arc<dyn EventLog>) -> Vec<Partition> {
    let mut partitions = log.layout().partitions_of_record();
    partitions.push(Partition::USER_KEYS);
    partitions
}

/// Partitions, dealt out to so many tasks like cards, so that each has some of every topic.
pub(crate) fn dealt(
    partitions: impl IntoIterator<Item = Partition>,
    tasks: usize,
) -> Vec<Vec<Partition>> {
    let mut hands = vec![vec![]; tasks.max(1)];
    for (index, partition) in partitions.into_iter().enumerate() {
        hands[index % tasks.max(1)].push(partition);
    }
    hands.retain(|hand| !hand.is_empty());
    hands
}

fn first_claim(batch: &Batch) -> Result<Option<Uuid>, LogError> {
    for record in &batch.records {
        match EpochEntry::decode(&record.payload) {
            Ok(EpochEntry::Claim { id, .. }) => return Ok(Some(id)),
            Ok(_) => {}
            Err(error) => {
                let position = Position {
                    partition: batch.partition,
                    offset: record.offset,
                };
                return Err(LogError::Misconfigured(format!(
                    "The entry at {position} comes before the log's first claim and cannot be read: {error}."
                )));
            }
        }
    }
    Ok(None)
}
