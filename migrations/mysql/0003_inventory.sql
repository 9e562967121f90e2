-- `version` covers the columns up to `supplied`, which come from the item's own records. `held` and `sold` are sums over
-- the orders' partitions, which are read independently: their first one may come before the item, so everything else has a
-- default, and a row of version 0 is a stub that no list shows. `search` is written by migrations::search.
CREATE TABLE IF NOT EXISTS inventory (
    sku        VARBINARY(64)   NOT NULL PRIMARY KEY,
    name       VARBINARY(800)  NOT NULL DEFAULT '',
    search     VARBINARY(2600) NOT NULL DEFAULT '',
    category   VARBINARY(400)  NULL,
    price      BIGINT          NOT NULL DEFAULT 0,
    currency   BINARY(3)       NOT NULL DEFAULT 'XXX',
    status     VARBINARY(16)   NOT NULL DEFAULT '',
    created_at BIGINT          NOT NULL DEFAULT 0,
    version    BIGINT          NOT NULL DEFAULT 0,
    supplied   BIGINT          NOT NULL DEFAULT 0,
    held       BIGINT          NOT NULL DEFAULT 0,
    sold       BIGINT          NOT NULL DEFAULT 0,
    KEY inventory_by_time (created_at, sku),
    KEY inventory_by_category (category, created_at, sku)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The ledger: every change of what is available. `id` is the record's place in the log, so no movement stands here twice.
CREATE TABLE IF NOT EXISTS inventory_movements (
    sku         VARBINARY(64)  NOT NULL,
    happened_at BIGINT         NOT NULL,
    id          BINARY(16)     NOT NULL,
    quantity    BIGINT         NOT NULL,
    reason      VARBINARY(16)  NOT NULL,
    order_id    BINARY(16)     NULL,
    actor       VARBINARY(16)  NOT NULL,
    actor_id    BINARY(16)     NULL,
    reference   VARBINARY(800) NULL,
    PRIMARY KEY (sku, happened_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
