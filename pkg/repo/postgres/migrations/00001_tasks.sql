-- +goose Up

-- One column a field of model.Task, as in the store sqlite: times are milliseconds since
-- 1970, durations nanoseconds, 0 and '' mean unset; mirrors, options, tags, labels, error,
-- result and history are JSON as text, '' where there is nothing. shown_url is the url without its
-- password, '' where that is the url. What PostgreSQL does not keep in a text is escaped:
-- chr(30) and two hexadecimal digits stand for a byte.
--
-- A task that ends moves from one partition to the other. So the live partition stays as
-- small as the backlog, and the other one is only appended to. No index of the live
-- partition names status or worker_id: a change of an indexed column writes an entry into
-- every index. active changes with an assignment and at the end only.
CREATE TABLE tasks (
    seq              bigint           NOT NULL,
    id               text             NOT NULL COLLATE "C",
    ended            boolean          NOT NULL,
    active           boolean          NOT NULL GENERATED ALWAYS AS (status IN ('queued', 'downloading') OR worker_id <> '') STORED,
    client           text             NOT NULL COLLATE "C",
    status           text             NOT NULL COLLATE "C",
    priority         bigint           NOT NULL,
    url              text             NOT NULL,
    shown_url        text             NOT NULL DEFAULT '',
    mirrors          text             NOT NULL DEFAULT '',
    options          text             NOT NULL DEFAULT '',
    tags             text             NOT NULL DEFAULT '',
    labels           text             NOT NULL DEFAULT '',
    folder           text             NOT NULL DEFAULT '',
    not_before       bigint           NOT NULL DEFAULT 0,
    max_attempts     bigint           NOT NULL,
    timeout          bigint           NOT NULL DEFAULT 0,
    checksum         text             NOT NULL DEFAULT '',
    created_at       bigint           NOT NULL,
    spec_hash        bytea            NOT NULL,
    traceparent      text             NOT NULL DEFAULT '',
    worker_id        text             NOT NULL DEFAULT '' COLLATE "C",
    last_worker_id   text             NOT NULL DEFAULT '',
    attempt          bigint           NOT NULL DEFAULT 0,
    failures         bigint           NOT NULL DEFAULT 0,
    losses           bigint           NOT NULL DEFAULT 0,
    retry_at         bigint           NOT NULL DEFAULT 0,
    gid              text             NOT NULL DEFAULT '',
    progress         double precision NOT NULL DEFAULT 0,
    completed_length bigint           NOT NULL DEFAULT 0,
    total_length     bigint           NOT NULL DEFAULT 0,
    download_speed   bigint           NOT NULL DEFAULT 0,
    error            text             NOT NULL DEFAULT '',
    result           text             NOT NULL DEFAULT '',
    updated_at       bigint           NOT NULL,
    assigned_at      bigint           NOT NULL DEFAULT 0,
    started_at       bigint           NOT NULL DEFAULT 0,
    finished_at      bigint           NOT NULL DEFAULT 0,
    history          text             NOT NULL DEFAULT '',
    torrent          bytea            NOT NULL DEFAULT '',
    metalink         bytea            NOT NULL DEFAULT ''
) PARTITION BY LIST (ended);

-- Room for the next versions of a row on its page: progress changes no indexed column.
-- Vacuum runs after 1% of changes, because a queue is all changes.
CREATE TABLE tasks_live PARTITION OF tasks FOR VALUES IN (false)
    WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE TABLE tasks_done PARTITION OF tasks FOR VALUES IN (true)
    WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.05);

-- Unique in a partition; the statements of a commit check the other partition.
CREATE UNIQUE INDEX tasks_live_seq ON tasks_live (seq);
CREATE UNIQUE INDEX tasks_done_seq ON tasks_done (seq);
CREATE UNIQUE INDEX tasks_live_id ON tasks_live (id);
CREATE UNIQUE INDEX tasks_done_id ON tasks_done (id);
-- Each client lists its own tasks only. Written once in a partition.
CREATE INDEX tasks_live_client ON tasks_live (client, seq);
CREATE INDEX tasks_done_client ON tasks_done (client, seq);
-- What workers hold: as many entries as there are slots in use.
CREATE INDEX tasks_live_active ON tasks_live (seq) WHERE active;
-- Completed tasks are nearly all rows of an old store: the partition is their index.
CREATE INDEX tasks_done_status ON tasks_done (status, seq) WHERE status <> 'completed';
CREATE INDEX tasks_done_active ON tasks_done (seq) WHERE active;

-- The numbers of tasks by status, as differences that each commit inserts. Their sum is
-- the number; now and then the rows are replaced by their sum. No row is ever updated: one
-- that each commit updates would leave a dead version a commit.
CREATE TABLE counters (
    at          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pending     bigint NOT NULL,
    queued      bigint NOT NULL,
    downloading bigint NOT NULL,
    paused      bigint NOT NULL,
    completed   bigint NOT NULL,
    failed      bigint NOT NULL,
    canceled    bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- One column a field of model.Worker; the complex ones are JSON as text.
CREATE TABLE workers (
    id                text             NOT NULL COLLATE "C" PRIMARY KEY,
    instance          text             NOT NULL,
    epoch             bigint           NOT NULL,
    status            text             NOT NULL,
    version           text             NOT NULL,
    hostname          text             NOT NULL,
    address           text             NOT NULL,
    port              bigint           NOT NULL,
    connected_at      bigint           NOT NULL,
    last_heartbeat    bigint           NOT NULL,
    total_slots       bigint           NOT NULL,
    drained           boolean          NOT NULL DEFAULT false,
    capabilities      text             NOT NULL,
    health            double precision NOT NULL,
    health_metrics    text             NOT NULL,
    performance_stats text             NOT NULL,
    error_history     text             NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

-- The ids of deleted tasks stay taken until then (milliseconds since 1970). The index is
-- for removing them in the order in which they end.
CREATE TABLE tombstones (
    id        text   NOT NULL COLLATE "C" PRIMARY KEY,
    spec_hash bytea  NOT NULL,
    until     bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX tombstones_until ON tombstones (until, id);

-- The term in which a dispatcher may write. Each write transaction takes a share lock on the
-- row; a takeover changes the term, and needs the row alone: the unique index makes that a
-- change of a key. Renewals are in a table of their own: each leaves a dead version of its
-- row, which a commit would walk through while an old transaction keeps it.
CREATE TABLE fence (
    one  boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    term bigint  NOT NULL UNIQUE
);
INSERT INTO fence (term) VALUES (0);

-- Which dispatcher leads in that term, and that it is alive.
CREATE TABLE leader (
    one         boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    term        bigint  NOT NULL,
    holder      text    NOT NULL,
    backend_pid integer NOT NULL,
    renewals    bigint  NOT NULL,
    store_id    text    NOT NULL DEFAULT gen_random_uuid()::text
) WITH (fillfactor = 50);
INSERT INTO leader (term, holder, backend_pid, renewals) VALUES (0, '', 0, 0);

-- The first statement of each write transaction: it ends a transaction of another term. 0 is
-- a writer without a term, of a store that has no leader.
-- +goose StatementBegin
CREATE FUNCTION aria_fence(expected bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    have bigint;
BEGIN
    SELECT term INTO STRICT have FROM fence FOR KEY SHARE;
    IF have <> expected AND expected <> 0 THEN
        RAISE EXCEPTION 'the term is %, not %', have, expected USING ERRCODE = 'AR001';
    END IF;
END $$;
-- +goose StatementEnd

-- Ends a transaction in which a statement met another number of rows than it must.
-- +goose StatementBegin
CREATE FUNCTION aria_expect(expected bigint, have bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF have <> expected THEN
        RAISE EXCEPTION '% rows, not %', have, expected USING ERRCODE = 'AR002';
    END IF;
END $$;
-- +goose StatementEnd
