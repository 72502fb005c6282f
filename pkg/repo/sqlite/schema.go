package sqlite

import "github.com/pressly/goose/v3"

// SchemaVersion returns the newest schema that this program knows: the number of
// its last migration.
func SchemaVersion() int64 {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return 0 // they are part of the program
	}
	var last int64
	for _, f := range files {
		if n, err := goose.NumericComponent(f.Name()); err == nil {
			last = max(last, n)
		}
	}
	return last
}
