package sqlite

import "github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"

// SchemaVersion returns the newest schema that this program knows: the number of
// its last migration.
func SchemaVersion() int64 {
	return rules.LastMigration(migrations)
}
