-- Every statement can run again: MySQL commits each one by itself, so a run that was cut off starts over.
-- Text that is compared is VARBINARY: MySQL's character types pad with blanks, so 'a ' would equal 'a'.

-- Whose rows these are: one row, written before the first checkpoint.
CREATE TABLE IF NOT EXISTS log_source (
    id           INT        NOT NULL PRIMARY KEY,
    log_id       BINARY(16) NOT NULL,
    fold_version INT        NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- How far each partition of the log is in the rows. Moved in the same transaction as the rows.
CREATE TABLE IF NOT EXISTS checkpoints (
    topic            VARBINARY(16) NOT NULL,
    partition_number INT           NOT NULL,
    next_offset      BIGINT        NOT NULL,
    highest_fence    BIGINT        NOT NULL,
    PRIMARY KEY (topic, partition_number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
