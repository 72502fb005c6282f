package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// fill sets every field under v to a value that is not zero and differs from its
// neighbours', so that a field which a record forgets is seen without anybody
// having listed it.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d ü\"\\<&>\u2028", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint8:
		v.SetUint(uint64(*n%255 + 1))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 1.0/3)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.SetMapIndex(key, value)
	default:
		panic("fill does not know " + v.Type().String())
	}
}

func fullTask() *model.Task {
	var t model.Task
	n := int64(1_790_000_000_000)
	fill(reflect.ValueOf(&t).Elem(), &n)
	t.Priority, t.Status, t.Damage = model.PriorityHigh, model.StatusQueued, ""
	t.ID, t.Client, t.Folder, t.WorkerID, t.LastWorkerID = "task-1", "client-2", "folder-3", "worker-4", "worker-5"
	t.Timeout = model.Duration(86_400_000_000_001) // more than a float64 of seconds keeps
	return &t
}

func fullWorker() *model.Worker {
	var w model.Worker
	n := int64(1_790_000_000_000)
	fill(reflect.ValueOf(&w).Elem(), &n)
	w.ID, w.CurrentTasks, w.Damage = "worker-4", []string{"a", "b"}, ""
	return &w
}

// TestRecord_KeepsEachField: a record keeps each field exactly.
func TestRecord_KeepsEachField(t *testing.T) {
	task, worker := fullTask(), fullWorker()
	for _, want := range []Record{{Task: task}, {Worker: worker}} {
		line, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRecord(line)
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if want.Task != nil {
			c := *task
			c.Reason = "" // is computed
			want.Task = &c
		} else {
			c := *worker
			c.LastSeen, c.UsedSlots, c.Prefetch, c.DownloadSpeed, c.Dir, c.StatusReason = 0, 0, 0, 0, "", "" // neither
			want.Worker = &c
		}
		if !reflect.DeepEqual(got, want) {
			again, _ := json.Marshal(got)
			t.Errorf("\n got %s\nwant %s", again, line)
		}
	}
}

// TestRecord_MembersKeepTheirOrder: the members of a record stay in their order, whatever the order of the struct: digests
// that other programs keep depend on it.
func TestRecord_MembersKeepTheirOrder(t *testing.T) {
	want := strings.Fields(`id client status url mirrors torrent metalink priority options tags folder not_before
		max_attempts timeout checksum labels created_at worker_id last_worker_id attempt failures losses retry_at
		aria2_gid progress completed_length total_length download_speed error result updated_at assigned_at started_at
		finished_at spec_hash`)
	r := Record{Task: fullTask()}
	if err := r.Encode(); err != nil {
		t.Fatal(err)
	}
	var got []string
	d := json.NewDecoder(bytes.NewReader(r.canon))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err = errors.Join(err, d.Decode(&value)); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(want, name.(string)) { // others may come between them
			got = append(got, name.(string))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestDigest_CoversEachField: a digest sees each field.
func TestDigest_CoversEachField(t *testing.T) {
	digest := func(r Record) Digest {
		var d Digest
		if err := d.Add(&r); err != nil {
			t.Fatal(err)
		}
		return d
	}
	unseen := func(full any, record func(v any) Record) (names string) {
		base := digest(record(full))
		var walk func(path string, v reflect.Value)
		walk = func(path string, v reflect.Value) {
			if v.Kind() == reflect.Struct {
				for i := range v.NumField() {
					walk(path+"."+v.Type().Field(i).Name, v.Field(i))
				}
				return
			}
			old := reflect.New(v.Type()).Elem()
			old.Set(v)
			v.SetZero()
			if digest(record(full)) == base {
				names += " " + path
			}
			v.Set(old)
		}
		walk("", reflect.ValueOf(full).Elem())
		return names
	}
	got := unseen(fullTask(), func(v any) Record { return Record{Task: v.(*model.Task)} })
	if want := " .Seq .Damage .TaskState.Reason"; got != want {
		t.Errorf("of a task%s are not seen, only%s should be", got, want)
	}
	got = unseen(fullWorker(), func(v any) Record { return Record{Worker: v.(*model.Worker)} })
	if want := " .StatusReason .Dir .LastSeen .UsedSlots .Prefetch .DownloadSpeed .CurrentTasks .Damage"; got != want {
		t.Errorf("of a worker%s are not seen, only%s should be", got, want)
	}
}

// TestRecord_InvalidRecordRefused: a line that is not a valid record is refused.
func TestRecord_InvalidRecordRefused(t *testing.T) {
	hash := strings.Repeat("0", 64)
	good := `{"v":1,"kind":"task","task":{"id":"a","client":"c","status":"pending","priority":"low","spec_hash":"` + hash + `","seq":1}}`
	if _, err := ParseRecord([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]string{
		"another version":    strings.Replace(good, `"v":1`, `"v":2`, 1),
		"another kind":       strings.Replace(good, `"kind":"task"`, `"kind":"tusk"`, 1),
		"kind and content":   strings.Replace(good, `"kind":"task"`, `"kind":"worker"`, 1),
		"an unknown field":   strings.Replace(good, `"id":"a"`, `"id":"a","colour":"red"`, 1),
		"no id":              strings.Replace(good, `"id":"a",`, ``, 1),
		"no status":          strings.Replace(good, `"pending"`, `"lost"`, 1),
		"a seq of 0":         strings.Replace(good, `"seq":1`, `"seq":0`, 1),
		"the last seq":       strings.Replace(good, `"seq":1`, `"seq":9223372036854775807`, 1),
		"the last attempt":   strings.Replace(good, `"id":"a"`, `"id":"a","attempt":9007199254740991`, 1),
		"a negative attempt": strings.Replace(good, `"id":"a"`, `"id":"a","attempt":-1`, 1),
		"a short hash":       strings.Replace(good, hash, "00", 1),
		"a timeout of words": strings.Replace(good, `"id":"a"`, `"id":"a","timeout":"5m"`, 1),
		"cut off":            good[:len(good)-20],
		"null":               `{"v":1,"kind":"task","task":null}`,
		"both":               `{"v":1,"kind":"task","task":{"id":"a"},"worker":{"id":"b"}}`,
		"nothing":            ``,
		"an array":           `[]`,
		"no priority":        strings.Replace(good, `"priority":"low",`, ``, 1),
		"a letter in an id":  strings.Replace(good, `"id":"a"`, `"id":"ä"`, 1),
		"a control in a url": strings.Replace(good, `"id":"a"`, `"id":"a","url":"http://x/\u001e"`, 1),
		"one in a checksum":  strings.Replace(good, `"id":"a"`, `"id":"a","checksum":"\u001e"`, 1),
		"one in a mirror":    strings.Replace(good, `"id":"a"`, `"id":"a","mirrors":["http://x/\u0085"]`, 1),
		"one in a client":    strings.Replace(good, `"client":"c"`, `"client":"c\u001e"`, 1),
		"a worker's id":      `{"v":1,"kind":"worker","worker":{"id":"b\n"}}`,
	} {
		if r, err := ParseRecord([]byte(line)); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

// plain are records of tasks that are read without encoding/json.
func plain(t testing.TB) (lines [][]byte) {
	full, bare := fullTask(), &model.Task{TaskSpec: model.TaskSpec{ID: "a"}, Seq: 1, TaskState: model.TaskState{Status: model.StatusPaused}}
	many := *fullTask()
	many.Priority, many.Timeout, many.Progress, many.Options = model.PriorityLow, 0, 1e-9, model.Options{"a": {}, "b": {"x"}, "c": {"x", "ü"}}
	many.Tags, many.Mirrors = map[string]string{"c": "", "b": "}", "a": "]"}, []string{"[", `"`, "\\"}
	many.Error, many.Result = &model.TaskError{}, &model.Result{Files: []model.File{}}
	for _, task := range []*model.Task{full, bare, &many} {
		line, err := json.Marshal(Record{Task: task})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestRecord_WrittenFormReadWithoutReflection: a record in the form in which it is written is read without reflection.
func TestRecord_WrittenFormReadWithoutReflection(t *testing.T) {
	for _, line := range plain(t) {
		if readTask(line) == nil {
			t.Errorf("left to encoding/json: %s", line)
		}
	}
}

// TestRecord_InvalidTimeRefused: an invalid time is refused.
func TestRecord_InvalidTimeRefused(t *testing.T) {
	for text, want := range map[string]bool{
		"2026-02-28T23:59:59.999Z": true, "2024-02-29T00:00:00.001Z": true, "2026-02-28T23:59:59Z": true, "2026-03-01T01:00:00.5+02:00": true,
		"2026-02-29T00:00:00.000Z": false, "2026-13-01T00:00:00.000Z": false, "2026-00-01T00:00:00.000Z": false, "2026-01-00T00:00:00.000Z": false,
		"2026-01-01T24:00:00.000Z": false, "2026-01-01T00:60:00.000Z": false, "2026-01-01T00:00:60.000Z": false,
		"1969-12-31T23:59:59.999Z": false, "2026-01-01 00:00:00.000Z": false, "2026-01-01T00:00:00.0x0Z": false, "": false,
	} {
		line := `{"v":1,"kind":"task","task":{"id":"a","status":"pending","priority":"low","created_at":"` + text + `","spec_hash":"` + strings.Repeat("0", 64) + `","seq":1}}`
		if _, err := ParseRecord([]byte(line)); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// agree reports an error if a line is read without reflection and encoding/json
// reads it otherwise.
func agree(t *testing.T, line []byte) {
	task := readTask(line)
	if task == nil {
		return
	}
	var r Record
	if err := r.decode(line); err != nil {
		t.Errorf("read plainly, and not by encoding/json: %v in %q", err, line)
	} else if !reflect.DeepEqual(r.Task, task) {
		t.Errorf("%q is read plainly as %+v, by encoding/json as %+v", line, task, r.Task)
	}
}

// TestRecord_CutTextReadLikeEncodingJSON: a record that lacks one of its characters is read like encoding/json reads it.
func TestRecord_CutTextReadLikeEncodingJSON(t *testing.T) {
	for _, line := range plain(t) {
		for i := range line {
			agree(t, append(append([]byte{}, line[:i]...), line[i+1:]...))
		}
	}
}

// FuzzRecord_ReadersAgree: both readers agree.
func FuzzRecord_ReadersAgree(f *testing.F) {
	for _, line := range plain(f) {
		f.Add(line)
	}
	f.Fuzz(agree)
}

// FuzzRecord_WrittenAsRead: a record is written in the form in which it was read.
func FuzzRecord_WrittenAsRead(f *testing.F) {
	for _, r := range []Record{{Task: fullTask()}, {Worker: fullWorker()}} {
		line, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		first, err := ParseRecord(line)
		if err != nil {
			return
		}
		text, err := first.Append(nil)
		if err != nil {
			return // too large
		}
		second, err := ParseRecord(text)
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if same, err := first.Identical(&second); err != nil || !same {
			t.Fatalf("%s became %s (%v)", line, text, err)
		}
	})
}

// BenchmarkRecord writes and reads the record of a task with every field.
func BenchmarkRecord(b *testing.B) {
	task := fullTask()
	line, err := json.Marshal(Record{Task: task})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		buffer := make([]byte, 0, 2*len(line))
		for b.Loop() {
			r := Record{Task: task}
			if _, err := r.Append(buffer); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseRecord(line); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A row that cannot be read as a whole is not what an import brings, even if that has nothing in
// the column.
func TestIdentical_DamagedRowIsAnother(t *testing.T) {
	task, worker := fullTask(), fullWorker()
	damagedTask, damagedWorker := *task, *worker
	damagedTask.Damage, damagedWorker.Damage = "its options: bad", "its capabilities: bad"
	for _, c := range []struct{ there, want Record }{
		{Record{Task: &damagedTask}, Record{Task: task}},
		{Record{Worker: &damagedWorker}, Record{Worker: worker}},
	} {
		if same, err := c.want.Identical(&c.there); same || err != nil {
			t.Errorf("a damaged %s: %v, %v", c.there.Kind(), same, err)
		}
		c.there = c.want
		if same, err := c.want.Identical(&c.there); !same || err != nil {
			t.Errorf("a whole %s: %v, %v", c.there.Kind(), same, err)
		}
	}
}
