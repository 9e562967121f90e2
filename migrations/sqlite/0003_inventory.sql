-- `version` covers the columns up to `supplied`, which come from the item's own records. `held` and `sold` are sums over
-- the orders' partitions, which are read independently: their first one may come before the item, so everything else has a
-- default, and a row of version 0 is a stub that no list shows. `search` is written by migrations::search.
CREATE TABLE IF NOT EXISTS inventory (
    sku        TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL DEFAULT '',
    search     TEXT    NOT NULL DEFAULT '',
    category   TEXT    NULL,
    price      INTEGER NOT NULL DEFAULT 0,
    currency   TEXT    NOT NULL DEFAULT 'XXX',
    status     TEXT    NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL DEFAULT 0,
    version    INTEGER NOT NULL DEFAULT 0,
    supplied   INTEGER NOT NULL DEFAULT 0,
    held       INTEGER NOT NULL DEFAULT 0,
    sold       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS inventory_by_time ON inventory (created_at, sku);
CREATE INDEX IF NOT EXISTS inventory_by_category ON inventory (category, created_at, sku);

-- The ledger: every change of what is available. `id` is the record's place in the log, so no movement stands here twice.
CREATE TABLE IF NOT EXISTS inventory_movements (
    sku         TEXT    NOT NULL,
    happened_at INTEGER NOT NULL,
    id          BLOB    NOT NULL,
    quantity    INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    order_id    BLOB    NULL,
    actor       TEXT    NOT NULL,
    actor_id    BLOB    NULL,
    reference   TEXT    NULL,
    PRIMARY KEY (sku, happened_at, id)
) STRICT, WITHOUT ROWID;
