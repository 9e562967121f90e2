-- Personal data is sealed. `email_hash` is not unique: an address may be seen taken before it is seen given up.
CREATE TABLE IF NOT EXISTS users (
    id         BLOB    NOT NULL PRIMARY KEY,
    email_hash TEXT    NOT NULL,
    key_id     BLOB    NOT NULL,
    email      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    version    INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS users_by_time ON users (created_at, id);
CREATE INDEX IF NOT EXISTS users_by_email ON users (email_hash);

-- The wrapped keys that personal data is sealed with; a key that was erased has no row.
CREATE TABLE IF NOT EXISTS user_keys (
    key_id  BLOB NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;
