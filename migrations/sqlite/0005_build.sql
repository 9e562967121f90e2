-- Which making of these tables this is: one row with a random id, another one after every replay. What was read
-- from replaced tables must not be written to those in their place.
CREATE TABLE IF NOT EXISTS build (
    id       INTEGER NOT NULL PRIMARY KEY,
    build_id BLOB    NOT NULL
) STRICT;
