package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// sentences are SQLite's primary result codes that pass by themselves or by an
// operator's hand, and what to say of them.
var sentences = map[int]string{
	lib.SQLITE_FULL:     "the disk is full",
	lib.SQLITE_IOERR:    "the disk gives an I/O error",
	lib.SQLITE_BUSY:     "another process has the file locked",
	lib.SQLITE_LOCKED:   "the file is locked",
	lib.SQLITE_READONLY: "the file or its disk is read-only",
	lib.SQLITE_CANTOPEN: "a file of the store cannot be opened",
	lib.SQLITE_PERM:     "access to the file is denied",
	lib.SQLITE_NOMEM:    "there is no memory left",
	lib.SQLITE_PROTOCOL: "the lock of the WAL cannot be had",
}

// primaryCode returns SQLite's primary result code of err, 0 if it is not an error of SQLite.
func primaryCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// explainError gives an error of SQLite the operation's name, and the code
// CodeUnavailable where trying again may help.
func explainError(op string, err error) error {
	var known *model.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, errDamaged) {
		return err
	}
	if s, ok := sentences[primaryCode(err)]; ok {
		return model.Errorf(model.CodeUnavailable, "%s: %s (%v)", op, s, err)
	}
	if isDamaged(err) {
		return damageError(op, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// errDamaged is the sentence of each error that says that a file is damaged.
var errDamaged = errors.New("the file is damaged; put a backup in its place")

// damageError is the error of an operation that met a damaged file; detail, an error or
// a text, says where.
func damageError(op string, detail any) error {
	if err, ok := detail.(error); ok {
		return fmt.Errorf("%s: %w (%w)", op, errDamaged, err)
	}
	return fmt.Errorf("%s: %w (%v)", op, errDamaged, detail)
}

// isDamaged reports whether an error of SQLite means that the file is damaged.
func isDamaged(err error) bool {
	code := primaryCode(err)
	return errors.Is(err, errDamaged) || code == lib.SQLITE_CORRUPT || code == lib.SQLITE_NOTADB
}
