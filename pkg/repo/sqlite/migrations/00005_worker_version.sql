-- +goose NO TRANSACTION
-- +goose Up

-- The version of the worker's program; '' until its next heartbeat.
ALTER TABLE workers ADD COLUMN version TEXT NOT NULL DEFAULT '';
