package jsonl

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"maps"
	"os"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// snapshot is an open file that was checked to be complete. Its name may belong to another
// file meanwhile; the opened one is read.
type snapshot struct {
	path   string
	file   *os.File
	end    end
	digest repo.Digest
}

// Snapshot implements [repo.Snapshotter]. It reads the file once to see that it
// is complete and undamaged before any of it is used; an error names
// the line.
func (f File) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	return open(ctx, string(f))
}

func open(ctx context.Context, path string) (*snapshot, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &snapshot{path: path, file: file}
	if err := s.check(ctx); err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

// Close implements [repo.Snapshot].
func (s *snapshot) Close() error {
	if err := s.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Digest implements [repo.DigestProvider].
func (s *snapshot) Digest() repo.Digest { return s.digest }

// Counts implements [repo.Snapshot].
func (s *snapshot) Counts(context.Context) (model.Counts, error) {
	counts := make(model.Counts, len(model.Statuses))
	for _, status := range model.Statuses {
		counts[status] = s.end.ByStatus[status]
	}
	return counts, nil
}

// check finds the end line and compares it with the bytes before it.
func (s *snapshot) check(ctx context.Context) error {
	if info, err := s.file.Stat(); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", s.path)
	}
	begin, err := s.lastLine()
	if err != nil {
		return err
	}
	if begin < 0 {
		return s.findDamage(ctx, "the file has no end line: it was cut off or is not one of ours")
	}
	if s.digest, err = s.end.digest(); err != nil || s.end.V != repo.RecordVersion || s.end.Bytes != begin {
		return s.findDamage(ctx, "the end line does not fit the lines before it")
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, reader(ctx, io.NewSectionReader(s.file, 0, begin))); err != nil {
		return err
	}
	if hex.EncodeToString(hash.Sum(nil)) != s.end.SHA256 {
		return s.findDamage(ctx, "the lines before the end line are not those that were written")
	}
	return nil
}

// lastLine reads the end line and returns where it begins, or -1 in a file without one.
func (s *snapshot) lastLine() (int64, error) {
	size, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	tail := make([]byte, min(size, 4096)) // an end line has some 400 bytes
	if _, err := s.file.ReadAt(tail, size-int64(len(tail))); err != nil {
		return 0, err
	}
	line, whole := bytes.CutSuffix(tail, []byte("\n"))
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	if !whole || json.Unmarshal(line, &s.end) != nil || s.end.Kind != kindEnd {
		return -1, nil
	}
	return size - int64(len(line)) - 1, nil
}

// findDamage returns the error of a damaged file: that of the first line that cannot be
// read, otherwise the summary, at the last line.
func (s *snapshot) findDamage(ctx context.Context, summary string) error {
	number := int64(0)
	for l, err := range s.lines(ctx) {
		number = l.number
		if err != nil {
			return err
		}
		if l.kind == repo.KindTask || l.kind == repo.KindWorker {
			if _, err := repo.ParseRecord(l.text); err != nil {
				return lineError(s.path, l.number, err)
			}
		}
	}
	return lineError(s.path, number, errors.New(summary))
}

// line is one line of the file; text is valid until the next.
type line struct {
	number int64
	kind   string
	text   []byte
}

// lines yields the lines of the file with their kinds. It stops after the first
// that is not what may stand there.
func (s *snapshot) lines(ctx context.Context) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		size, err := s.file.Seek(0, io.SeekEnd)
		if err != nil {
			yield(line{}, err)
			return
		}
		scan := bufio.NewScanner(reader(ctx, io.NewSectionReader(s.file, 0, size)))
		scan.Buffer(make([]byte, 64<<10), repo.MaxRecord+1)
		l := line{}
		ended := false
		for scan.Scan() {
			l.number++
			l.text = scan.Bytes()
			l.kind = kindOf(l.text)
			err := s.expect(&l, ended)
			if err != nil {
				err = lineError(s.path, l.number, err)
			}
			if !yield(l, err) || err != nil {
				return
			}
			ended = l.kind == kindEnd
		}
		if err := scan.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(l, lineError(s.path, l.number+1, fmt.Errorf("the line has more than %d bytes", repo.MaxRecord)))
		} else if err != nil {
			yield(l, err)
		}
	}
}

// expect refuses a line that may not stand where it does.
func (s *snapshot) expect(l *line, ended bool) error {
	switch {
	case ended:
		return errors.New("nothing may follow the end line")
	case (l.number == 1) != (l.kind == kindHeader):
		return errors.New("the first line, and no other, must be a header")
	case l.kind == kindHeader:
		var h header
		if err := json.Unmarshal(l.text, &h); err != nil {
			return err
		} else if h.V != repo.RecordVersion {
			return fmt.Errorf("the file has version %d, this program reads %d", h.V, repo.RecordVersion)
		}
	case l.kind == "":
		return errors.New("is neither a record nor an end line")
	}
	return nil
}

// kindOf returns the kind of a line, which stands near its beginning, "" if it
// has none.
func kindOf(text []byte) string {
	for _, kind := range []string{repo.KindTask, repo.KindWorker, kindHeader, kindEnd} {
		if bytes.Contains(text[:min(len(text), 64)], []byte(`"kind":"`+kind+`"`)) {
			return kind
		}
	}
	return ""
}

// Workers implements [repo.Snapshot].
func (s *snapshot) Workers(ctx context.Context) ([]*model.Worker, error) {
	var workers []*model.Worker
	for l, err := range s.lines(ctx) {
		if err != nil {
			return nil, err
		}
		switch l.kind {
		case kindHeader:
			continue
		case repo.KindWorker:
			r, err := repo.ParseRecord(l.text)
			if err != nil {
				return nil, lineError(s.path, l.number, err)
			}
			r.Worker.UsedSlots = len(r.Worker.CurrentTasks)
			workers = append(workers, r.Worker)
			continue
		}
		break // workers stand first
	}
	return workers, nil
}

// Tasks implements [repo.Snapshot]. At the end of a walk from the beginning it
// compares the holders that the tasks name with the tasks that the workers list.
func (s *snapshot) Tasks(ctx context.Context, after int64) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		workers, err := s.readAssignments(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		named, last := make(map[string]assignment), after
		for l, err := range s.lines(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			if l.kind != repo.KindTask {
				continue
			}
			r, err := repo.ParseRecord(l.text)
			if err == nil && after == 0 && r.Task.Seq <= last {
				err = fmt.Errorf("task %s: seq %d does not follow %d", r.ID(), r.Task.Seq, last)
			}
			if err != nil {
				yield(nil, lineError(s.path, l.number, err))
				return
			}
			if r.Task.Seq <= after {
				continue
			}
			last = r.Task.Seq
			if r.Task.WorkerID != "" {
				named[r.Task.WorkerID] = named[r.Task.WorkerID].addWorker(r.Task.ID)
			}
			if !yield(r.Task, nil) {
				return
			}
		}
		if err := compareAssignments(workers, named); err != nil && after == 0 {
			yield(nil, fmt.Errorf("%s: %w", s.path, err))
		}
	}
}

// assignment is a set of tasks in little memory: their number, and the sum of the hashes of
// their ids.
type assignment struct {
	n   int
	sum uint64
}

func (h assignment) addWorker(id string) assignment {
	hash := fnv.New64a()
	hash.Write([]byte(id))
	return assignment{h.n + 1, h.sum + hash.Sum64()}
}

// readAssignments returns the tasks that each worker lists.
func (s *snapshot) readAssignments(ctx context.Context) (map[string]assignment, error) {
	workers, err := s.Workers(ctx)
	listed := make(map[string]assignment, len(workers))
	for _, w := range workers {
		h := assignment{}
		for _, id := range w.CurrentTasks {
			h = h.addWorker(id)
		}
		listed[w.ID] = h
	}
	return listed, err
}

// compareAssignments compares the assignments of the tasks with those of the workers.
func compareAssignments(listed, named map[string]assignment) error {
	for _, id := range slices.Sorted(maps.Keys(listed)) {
		if listed[id] != named[id] {
			return fmt.Errorf("worker %s lists %d tasks, and %d tasks name it, or other tasks", id, listed[id].n, named[id].n)
		}
	}
	return nil
}

// reader reads from r until ctx is done.
func reader(ctx context.Context, r io.Reader) io.Reader { return ctxReader{ctx, r} }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}
