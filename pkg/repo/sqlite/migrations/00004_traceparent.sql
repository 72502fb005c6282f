-- +goose NO TRANSACTION
-- +goose Up

-- The trace that a task belongs to, as its client named it; '' for most tasks.
ALTER TABLE tasks ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
