package worker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// identity returns the worker's random instance, which is stored, and its epoch, which
// rises by one with each start. An unreadable value is replaced by one that no earlier
// start used.
func identity(root *os.Root, log *slog.Logger) (instance string, epoch int64, err error) {
	instance, err = readLine(root, stateDir+"/instance")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", 0, fmt.Errorf("worker: reading its instance: %w", err)
	}
	text, epochErr := readLine(root, stateDir+"/epoch")
	if epochErr != nil && !errors.Is(epochErr, fs.ErrNotExist) {
		return "", 0, fmt.Errorf("worker: reading its epoch: %w", epochErr)
	}
	fresh := err != nil && epochErr != nil
	if !model.ValidName(instance) {
		if !fresh {
			log.Warn("the worker's instance is missing or broken; it gets a new one")
		}
		instance = rand.Text()
		if err := writeDurably(root, stateDir, "instance", []byte(instance+"\n")); err != nil {
			return "", 0, fmt.Errorf("worker: keeping its instance: %w", err)
		}
	}
	epoch, err = strconv.ParseInt(text, 10, 64)
	if err != nil || epoch < 0 {
		epoch = 0
		if !fresh {
			// Starts are counted, so the seconds since 1970 are beyond any count.
			epoch = time.Now().Unix()
			log.Warn("the worker's epoch is missing or broken; it continues from the clock", "epoch", epoch)
		}
	}
	epoch++
	if err := writeDurably(root, stateDir, "epoch", []byte(strconv.FormatInt(epoch, 10)+"\n")); err != nil {
		return "", 0, fmt.Errorf("worker: keeping its epoch: %w", err)
	}
	return instance, epoch, nil
}

func readLine(root *os.Root, name string) (string, error) {
	b, err := root.ReadFile(name)
	return strings.TrimSpace(string(b)), err
}

// writeDurably replaces dir/name by data with mode 0600. After a crash the file is
// completely old or completely new; after writeDurably has returned, it is new.
func writeDurably(root *os.Root, dir, name string, data []byte) error {
	if err := replaceFile(root, dir+"/"+name, data); err != nil {
		return err
	}
	return syncPath(root, dir)
}

// replaceFile is writeDurably without the last step: until the folder is synced, a crash
// may restore the old file.
func replaceFile(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(name+".tmp", name)
	}
	if err != nil {
		_ = root.Remove(name + ".tmp")
	}
	return err
}

// syncPath syncs a file or directory to the disk.
func syncPath(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
