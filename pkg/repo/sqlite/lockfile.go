package sqlite

// LockFile locks the store's file at path, which need not exist, so that no dispatcher
// opens it until release is called. It returns the one path of the file. The error is
// CodeUnavailable if a dispatcher holds it.
func LockFile(path string) (resolved string, release func() error, err error) {
	resolved, err = prepare(&Config{Path: path})
	if err != nil {
		return "", nil, err
	}
	l, err := acquire(resolved)
	if err != nil {
		return "", nil, err
	}
	return resolved, l.release, nil
}
