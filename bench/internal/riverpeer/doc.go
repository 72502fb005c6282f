// Package riverpeer is github.com/riverqueue/river on PostgreSQL, in the comparison.
package riverpeer
