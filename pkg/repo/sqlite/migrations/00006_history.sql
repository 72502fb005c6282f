-- +goose NO TRANSACTION
-- +goose Up

-- The attempts that ended, as a JSON list; '' where nothing is kept. A completion is not in
-- it: the columns of a completed task say the same. So most tasks never write it.
ALTER TABLE tasks ADD COLUMN history TEXT NOT NULL DEFAULT '';
