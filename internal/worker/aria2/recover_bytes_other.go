//go:build !linux

package aria2

// rescue finds nothing: what a killed aria2c did not note is fetched again.
func rescue(string) (int64, error) { return 0, nil }
