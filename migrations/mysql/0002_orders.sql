-- Lines and history stay JSON in the row: a table of lines halves what a projector can write.
CREATE TABLE IF NOT EXISTS orders (
    id           BINARY(16)    NOT NULL PRIMARY KEY,
    user_id      BINARY(16)    NOT NULL,
    status       VARBINARY(16) NOT NULL,
    total        BIGINT        NOT NULL,
    currency     BINARY(3)     NOT NULL,
    placed_at    BIGINT        NOT NULL,
    version      BIGINT        NOT NULL,
    lines_json   MEDIUMTEXT    NOT NULL,
    history_json MEDIUMTEXT    NOT NULL,
    KEY orders_by_time (placed_at, id),
    KEY orders_by_user (user_id, placed_at, id),
    KEY orders_by_status (status, placed_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
