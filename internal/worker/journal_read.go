package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
)

// The file of the journal begins with journalMagic. A record is its length and checksum
// (each four bytes, little endian), its kind, and as many bytes as its length says. The
// checksum is that of kind and bytes. A kind that this worker does not know is skipped.
const (
	journalDir   = stateDir + "/journal"
	journalFile  = "log"
	brokenSuffix = ".broken"
	journalMagic = "aria journal 2\n"
	recordHead   = 9
	maxEntry     = 8 << 20 // bytes; a task with a torrent has under 1 MB

	recordEntry   byte = 'e' // an entry as JSON, which replaces the earlier one of its task
	recordRemoval byte = 'r' // the id of a task that is no longer held
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendRecord(b []byte, kind byte, data []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = binary.LittleEndian.AppendUint32(b, checksum(kind, data))
	return append(append(b, kind), data...)
}

func checksum(kind byte, data []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte{kind}, castagnoli), castagnoli, data)
}

// readRecord returns the first record of b and its length with the head. ok is false
// unless b begins with a whole one.
func readRecord(b []byte) (kind byte, data []byte, length int, ok bool) {
	if len(b) < recordHead {
		return 0, nil, 0, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n > maxEntry || int(n) > len(b)-recordHead {
		return 0, nil, 0, false
	}
	kind, data = b[8], b[recordHead:recordHead+int(n)]
	return kind, data, recordHead + int(n), binary.LittleEndian.Uint32(b[4:]) == checksum(kind, data)
}

// journalContent is what a file of the journal says.
type journalContent struct {
	entries map[string]*entry
	broken  []error // of records and bytes inside the file that cannot be read
	cut     int     // bytes at the end that are no whole record: a write that a crash cut off
}

// readJournal reads the content of a file. Bytes that are no record cost only the records
// that they were.
func readJournal(b []byte) journalContent {
	c := journalContent{entries: map[string]*entry{}}
	rest, ok := strings.CutPrefix(string(b), journalMagic)
	if !ok {
		c.broken = append(c.broken, errors.New("its first line is not that of a journal"))
		rest = string(b)
	}
	b = []byte(rest)
	for len(b) > 0 {
		kind, data, length, ok := readRecord(b)
		if !ok {
			skipped := nextRecord(b)
			if skipped == len(b) {
				c.cut = skipped
				return c
			}
			c.broken = append(c.broken, fmt.Errorf("%d bytes inside it cannot be read", skipped))
			b = b[skipped:]
			continue
		}
		if err := c.apply(kind, data); err != nil {
			c.broken = append(c.broken, err)
		}
		b = b[length:]
	}
	return c
}

// nextRecord returns where the next whole record begins, the length of b without one.
func nextRecord(b []byte) int {
	for i := 1; i+recordHead <= len(b); i++ {
		if kind := b[i+8]; kind != recordEntry && kind != recordRemoval {
			continue // the checksum of everything would take long
		}
		if _, _, _, ok := readRecord(b[i:]); ok {
			return i
		}
	}
	return len(b)
}

// apply applies one record.
func (c *journalContent) apply(kind byte, data []byte) error {
	switch kind {
	case recordRemoval:
		delete(c.entries, string(data))
	case recordEntry:
		e, err := decodeEntry(data, "")
		if err != nil {
			return err
		}
		c.entries[e.Task.ID] = e
	}
	return nil
}

// decodeEntry reads an entry. id is that of its task, "" for any.
func decodeEntry(data []byte, id string) (*entry, error) {
	var e entry
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	if id == "" && e.Task != nil {
		id = e.Task.ID
	}
	if err := e.check(id); err != nil {
		return nil, fmt.Errorf("the entry of task %.64q %w", id, err)
	}
	return &e, nil
}

// openJournal reads the journal and rewrites it, so that it has nothing but the returned
// entries, in the order of their ids. If some of it cannot be read, the file is kept under
// another name, and the worker continues without those tasks. A journal of the earlier
// form, with a file for each task, is converted.
func openJournal(root *os.Root, log *slog.Logger) (*journal, []*entry, error) {
	if err := makeDir(root, journalDir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("worker: opening its journal: %w", err)
	}
	j := &journal{root: root, log: log, live: map[string][]byte{}}
	entries, err := j.readFile()
	if err != nil {
		return nil, nil, fmt.Errorf("worker: reading its journal: %w", err)
	}
	converted, err := j.readEarlierForm(entries)
	if err != nil {
		return nil, nil, fmt.Errorf("worker: reading its journal: %w", err)
	}
	var list []*entry
	for _, id := range slices.Sorted(maps.Keys(entries)) {
		data, err := json.Marshal(entries[id])
		if err != nil {
			return nil, nil, fmt.Errorf("worker: reading its journal: %w", err)
		}
		j.setLive(pendingRecord{id: id, data: appendRecord(nil, recordEntry, data)})
		list = append(list, entries[id])
	}
	if err := j.replace(); err != nil {
		return nil, nil, fmt.Errorf("worker: opening its journal: %w", err)
	}
	for _, name := range converted {
		if err := root.Remove(journalDir + "/" + name); err != nil {
			j.close()
			return nil, nil, fmt.Errorf("worker: converting its journal: %w", err)
		}
	}
	return j, list, nil
}

// readFile reads the file of the journal, which may not exist yet.
func (j *journal) readFile() (map[string]*entry, error) {
	data, err := readRegular(j.root, journalDir+"/"+journalFile)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]*entry{}, nil
	}
	if err != nil {
		return nil, err
	}
	c := readJournal(data)
	if c.cut > 0 {
		j.log.Warn("the end of the journal was not written completely", "bytes", c.cut)
	}
	if len(c.broken) > 0 {
		j.log.Error("a part of the journal is broken; the file was set aside", "error", errors.Join(c.broken...))
		if err := j.setAside(journalFile); err != nil {
			return nil, err
		}
	}
	return c.entries, nil
}

func (j *journal) setAside(name string) error {
	return j.root.Rename(journalDir+"/"+name, journalDir+"/"+name+brokenSuffix)
}

func readRegular(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return root.ReadFile(name)
}

// The earlier form of the journal has a file ID.json for each task.
const earlierSuffix = ".json"

// readEarlierForm adds the tasks of files of the earlier form, and returns the names of
// these files. An entry of the present form counts more, unless its attempt is lower: an
// earlier worker may have used the folder meanwhile. It renames a broken file.
func (j *journal) readEarlierForm(entries map[string]*entry) (converted []string, err error) {
	dir, err := j.root.Open(journalDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, earlierSuffix+".tmp") {
			converted = append(converted, name) // a write that a crash cut off
		}
		id, ok := strings.CutSuffix(name, earlierSuffix)
		if !ok {
			continue
		}
		e, err := j.readEarlierFile(name, id)
		if err != nil {
			j.log.Error("a journal file is broken and was set aside", "task", id, "error", err)
			if err := j.setAside(name); err != nil {
				return nil, err
			}
			continue
		}
		if have := entries[id]; have == nil || have.Attempt < e.Attempt {
			entries[id] = e
		}
		converted = append(converted, name)
	}
	return converted, nil
}

func (j *journal) readEarlierFile(name, id string) (*entry, error) {
	data, err := readRegular(j.root, journalDir+"/"+name)
	if err != nil {
		return nil, err
	}
	if len(data) > maxEntry {
		return nil, fmt.Errorf("it has more than %d bytes", maxEntry)
	}
	return decodeEntry(data, id)
}
