// Package asynqpeer is github.com/hibiken/asynq on Redis, in the comparison.
package asynqpeer
