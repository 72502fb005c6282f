//go:build !linux

package aria2

// recoverBytes finds no bytes: those that a killed aria2c did not record are downloaded
// again.
func recoverBytes(string) (int64, error) { return 0, nil }
