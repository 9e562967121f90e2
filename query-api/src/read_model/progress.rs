//! How much of the log is in the rows: what a consistency token is compared with.

use std::collections::BTreeMap;

use migrations::DatabaseError;
use record::{Partition, Position};
use uuid::Uuid;

use super::ReadModels;

/// How far one partition is in the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The partition.
    pub partition: Partition,
    /// The offset that comes next: everything before it is in the rows.
    pub next_offset: u64,
    /// The highest fence before it.
    pub highest_fence: u64,
}

impl ReadModels {
    /// Every partition's checkpoint, all of one moment.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, DatabaseError> {
        let sql = "SELECT topic, partition_number, next_offset, highest_fence FROM checkpoints \
             ORDER BY topic, partition_number";
        let rows = self.database.select(sql, &[]).await?;
        let read = |row: &migrations::Row| {
            Ok(Checkpoint {
                partition: Partition {
                    topic: row.word(0)?,
                    number: row.unsigned(1)? as u16,
                },
                next_offset: row.unsigned(2)?,
                highest_fence: row.unsigned(3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Whether the rows contain the records at all these positions.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn seen(&self, positions: &[Position]) -> Result<bool, DatabaseError> {
        if positions.is_empty() {
            return Ok(true);
        }
        let next: BTreeMap<Partition, u64> = self
            .checkpoints()
            .await?
            .into_iter()
            .map(|checkpoint| (checkpoint.partition, checkpoint.next_offset))
            .collect();
        Ok(positions.iter().all(|position| {
            next.get(&position.partition)
                .is_some_and(|next| *next > position.offset)
        }))
    }

    /// The id of the log that the rows were made from; `None` while there are none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn log_id(&self) -> Result<Option<Uuid>, DatabaseError> {
        let rows = self
            .database
            .select("SELECT log_id FROM log_source WHERE id = 1", &[])
            .await?;
        rows.first().map(|row| row.uuid(0)).transpose()
    }
}
