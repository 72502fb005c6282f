-- +goose NO TRANSACTION
-- +goose Up

-- One column a field of model.Task. Times are milliseconds since 1970, durations
-- nanoseconds, 0 and '' mean unset; mirrors, options, tags, labels, error and
-- result are JSON, '' where there is nothing. shown_url is what a text filter
-- looks at where that is not the url: the url without its password.
-- seq is the rowid, so every index below is in the order of seq by itself, and
-- new rows go to the end of the table. The bytes of torrents stand last: rows
-- that are only filtered never touch their overflow pages.
CREATE TABLE tasks (
    seq              INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL UNIQUE,
    client           TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    priority         INTEGER NOT NULL,
    url              TEXT    NOT NULL,
    shown_url        TEXT    NOT NULL,
    mirrors          TEXT    NOT NULL,
    options          TEXT    NOT NULL,
    tags             TEXT    NOT NULL,
    labels           TEXT    NOT NULL,
    folder           TEXT    NOT NULL,
    not_before       INTEGER NOT NULL,
    max_attempts     INTEGER NOT NULL,
    timeout          INTEGER NOT NULL,
    checksum         TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    spec_hash        BLOB    NOT NULL,
    worker_id        TEXT    NOT NULL,
    last_worker_id   TEXT    NOT NULL,
    attempt          INTEGER NOT NULL,
    failures         INTEGER NOT NULL,
    losses           INTEGER NOT NULL,
    retry_at         INTEGER NOT NULL,
    gid              TEXT    NOT NULL,
    progress         REAL    NOT NULL,
    completed_length INTEGER NOT NULL,
    total_length     INTEGER NOT NULL,
    download_speed   INTEGER NOT NULL,
    error            TEXT    NOT NULL,
    result           TEXT    NOT NULL,
    updated_at       INTEGER NOT NULL,
    assigned_at      INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    finished_at      INTEGER NOT NULL,
    torrent          BLOB,
    metalink         BLOB
) STRICT;

-- The indexes are three, each because a list would otherwise walk the table.
-- Whose: every client lists its own tasks only. It is written once a task.
CREATE INDEX tasks_client ON tasks (client);
-- In which state, and what the engine loads at its start. Completed tasks are
-- left out: they are nearly all rows of an old store, so the table itself, walked
-- from an end, is their index. So this one stays small and in the cache, and the
-- last change of most tasks only takes out of it.
CREATE INDEX tasks_status ON tasks (status) WHERE status <> 'completed';
-- Held by which worker: as many entries as there are slots in use.
CREATE INDEX tasks_worker ON tasks (worker_id) WHERE worker_id <> '';

-- Kept by the deltas of each commit, for counting millions of rows is slow.
CREATE TABLE counters (
    status TEXT    NOT NULL PRIMARY KEY,
    n      INTEGER NOT NULL CHECK (n >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO counters (status, n) VALUES
    ('pending', 0), ('queued', 0), ('downloading', 0), ('paused', 0),
    ('completed', 0), ('failed', 0), ('canceled', 0);

-- One column a field of model.Worker; the complex ones are JSON.
CREATE TABLE workers (
    id                TEXT    NOT NULL PRIMARY KEY,
    instance          TEXT    NOT NULL,
    epoch             INTEGER NOT NULL,
    status            TEXT    NOT NULL,
    hostname          TEXT    NOT NULL,
    address           TEXT    NOT NULL,
    port              INTEGER NOT NULL,
    connected_at      INTEGER NOT NULL,
    last_heartbeat    INTEGER NOT NULL,
    total_slots       INTEGER NOT NULL,
    health            REAL    NOT NULL,
    capabilities      TEXT    NOT NULL,
    health_metrics    TEXT    NOT NULL,
    performance_stats TEXT    NOT NULL,
    error_history     TEXT    NOT NULL
) STRICT;
