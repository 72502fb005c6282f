package postgres_test

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
)

// Dispatchers that start at the same time on an empty database migrate it once, and all
// of them start.
func TestOpen_SimultaneousStartsMigrateOnce(t *testing.T) {
	for range 5 {
		dsn := testpostgres.Database(t)
		errs := make(chan error)
		const starts = 4
		for range starts {
			go func() {
				s, err := postgres.Open(testbed.Context(t), postgres.Config{DSN: dsn})
				if err == nil {
					err = s.Close()
				}
				errs <- err
			}()
		}
		for range starts {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
}
