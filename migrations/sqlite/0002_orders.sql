-- Lines and history stay JSON in the row, as on MySQL.
CREATE TABLE IF NOT EXISTS orders (
    id           BLOB    NOT NULL PRIMARY KEY,
    user_id      BLOB    NOT NULL,
    status       TEXT    NOT NULL,
    total        INTEGER NOT NULL,
    currency     TEXT    NOT NULL,
    placed_at    INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    lines_json   TEXT    NOT NULL,
    history_json TEXT    NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS orders_by_time ON orders (placed_at, id);
CREATE INDEX IF NOT EXISTS orders_by_user ON orders (user_id, placed_at, id);
CREATE INDEX IF NOT EXISTS orders_by_status ON orders (status, placed_at, id);
