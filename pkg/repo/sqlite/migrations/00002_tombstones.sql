-- +goose NO TRANSACTION
-- +goose Up

-- What a deleted task leaves: its id stays taken until then (milliseconds since
-- 1970). The index is for forgetting them in the order in which they end.
CREATE TABLE tombstones (
    id        TEXT    NOT NULL PRIMARY KEY,
    spec_hash BLOB    NOT NULL,
    until     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_until ON tombstones (until, id);
