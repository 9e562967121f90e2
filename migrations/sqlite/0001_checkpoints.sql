-- Whose rows these are: one row, written before the first checkpoint.
CREATE TABLE IF NOT EXISTS log_source (
    id           INTEGER NOT NULL PRIMARY KEY,
    log_id       BLOB    NOT NULL,
    fold_version INTEGER NOT NULL
) STRICT;

-- How far each partition of the log is in the rows. Moved in the same transaction as the rows.
CREATE TABLE IF NOT EXISTS checkpoints (
    topic            TEXT    NOT NULL,
    partition_number INTEGER NOT NULL,
    next_offset      INTEGER NOT NULL,
    highest_fence    INTEGER NOT NULL,
    PRIMARY KEY (topic, partition_number)
) STRICT, WITHOUT ROWID;
