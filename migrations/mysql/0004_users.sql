-- Personal data is sealed. `email_hash` is not unique: an address may be seen taken before it is seen given up.
CREATE TABLE IF NOT EXISTS users (
    id         BINARY(16)    NOT NULL PRIMARY KEY,
    email_hash BINARY(64)    NOT NULL,
    key_id     BINARY(16)    NOT NULL,
    email      TEXT          NOT NULL,
    name       TEXT          NOT NULL,
    role       VARBINARY(16) NOT NULL,
    created_at BIGINT        NOT NULL,
    version    BIGINT        NOT NULL,
    KEY users_by_time (created_at, id),
    KEY users_by_email (email_hash)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The wrapped keys that personal data is sealed with; a key that was erased has no row.
CREATE TABLE IF NOT EXISTS user_keys (
    key_id  BINARY(16)     NOT NULL PRIMARY KEY,
    wrapped VARBINARY(4096) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
