-- +goose NO TRANSACTION
-- +goose Up

-- Whether an operator has the worker take nothing new: unlike what the worker says
-- of itself, nobody would say it again after a restart.
ALTER TABLE workers ADD COLUMN drained INTEGER NOT NULL DEFAULT 0;
