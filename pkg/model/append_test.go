package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// plain is encoding/json's own writing, without the escapes of HTML.
func plain(t fataler, v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// whole puts a value other than the zero one into every field of v that JSON has,
// and into what it points to.
func whole(v reflect.Value) { fill(v, nil) }

// fill puts random values into v, or, without t, one that is not zero into each.
func fill(v reflect.Value, t *rapid.T) {
	if t != nil && v.Kind() != reflect.Struct && rapid.IntRange(0, 3).Draw(t, "empty") == 0 {
		v.SetZero()
		return
	}
	count := 2
	if t != nil {
		count = rapid.IntRange(0, 5).Draw(t, "length")
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), t)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				fill(v.Field(i), t)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), count, count))
		for i := range count {
			fill(v.Index(i), t)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range count {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, t)
			if t == nil {
				key.SetString(fmt.Sprint("key", i))
			}
			fill(value, t)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		v.SetString(text(t))
	case reflect.Int, reflect.Int64:
		v.SetInt(integer(v.Type(), t))
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(number(t))
	default:
		panic("a field of a kind that no field had: " + v.Type().String())
	}
}

func text(t *rapid.T) string {
	if t == nil {
		return "text"
	}
	odd := rapid.SampledFrom([]string{"<b>&'\"\\", "\x00\x1f\x7f\b\f\n\r\t", "\u2028\u2029\u202a", "\xff\xc3", "größe 😀", "\xe2\x80"})
	return rapid.OneOf(odd, rapid.String(), rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	})).Draw(t, "text")
}

func integer(of reflect.Type, t *rapid.T) int64 {
	switch {
	case t == nil:
		return 3
	case of == reflect.TypeFor[Time]():
		return rapid.Int64Range(0, 253402300799999).Draw(t, "time")
	case of == reflect.TypeFor[Priority]():
		return rapid.Int64Range(-1, 6).Draw(t, "priority")
	}
	return rapid.Int64().Draw(t, "integer")
}

func number(t *rapid.T) float64 {
	if t == nil {
		return 12.5
	}
	odd := rapid.SampledFrom([]float64{100, 1e-6, 9e-7, 1e-10, 1e20, 1e21, 1e100, -1e21, 1 << 53, -(1 << 53), math.Copysign(0, -1), 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64})
	return rapid.OneOf(odd, rapid.Float64()).Draw(t, "number")
}

// writers are the types that write themselves.
var writers = map[string]func(fill func(reflect.Value)) (appended string, v any){
	"a task": func(fill func(reflect.Value)) (string, any) {
		t := &Task{}
		fill(reflect.ValueOf(t).Elem())
		return string(t.AppendJSON(nil)), t
	},
	"an assignment": func(fill func(reflect.Value)) (string, any) {
		a := Assignment{}
		fill(reflect.ValueOf(&a).Elem())
		return string(a.AppendJSON(nil)), a
	},
	"an event": func(fill func(reflect.Value)) (string, any) {
		e := &TaskEvent{}
		fill(reflect.ValueOf(e).Elem())
		return string(e.AppendJSON(nil)), e
	},
}

// The generated writers write the same bytes as encoding/json.
func TestAppendJSON_EqualsEncodingJSON(t *testing.T) {
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			if got, v := write(func(reflect.Value) {}); got != plain(t, v) {
				t.Errorf("empty:\n%s, want\n%s", got, plain(t, v))
			}
			if got, v := write(whole); got != plain(t, v) {
				t.Errorf("with every field:\n%s, want\n%s", got, plain(t, v))
			}
			rapid.Check(t, func(t *rapid.T) {
				got, v := write(func(v reflect.Value) { fill(v, t) })
				if want := plain(t, v); got != want {
					t.Fatalf("%s, want\n%s", got, want)
				}
			})
		})
	}
}

// The hash is stored, so it must stay the hash of what encoding/json writes.
func TestHash_EqualsStandardEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s TaskSpec
		fill(reflect.ValueOf(&s).Elem(), t)
		c := s
		c.ID = ""
		b, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		if s.Hash() != sha256.Sum256(b) {
			t.Fatalf("%s has another hash", b)
		}
	})
}

// The stored hashes stay valid.
func TestHash_StoredHashesStayValid(t *testing.T) {
	for spec, want := range map[string]string{
		`{"url":"http://h/a"}`: "1b514996f5759e74b577ee74b32b3249ec024201e28b938bd39770450759c3c4",
		`{"id":"x","url":"https://h/a?b=1&c=<2>","mirrors":["ftp://h/a","http://m/\u00e9"],"priority":"high","options":{"header":["A: <b>&","B: 'c'"],"split":4,"out":"gr\u00f6\u00dfe \u201cx\u201d.bin"},"tags":{"location":"eu","disk":"ssd"},"folder":"films","not_before":"2026-01-02T03:04:05.678Z","max_attempts":3,"timeout":"1.5","checksum":"md5=0123456789abcdef0123456789abcdef","labels":{"b":"1","a":"\ud83d\ude00 & \"q\" \\"}}`: "35da1895ee4c5696cc202fce3d39c59d7ee693d7646979ba8b477a274bce86f2",
		`{"torrent":"ZDg6YW5ub3VuY2U=","priority":4,"timeout":90}`: "39ee13d8328f5bd444cf63174a3cf79d28fd46d39349279bb15ec7a915a86d2c",
		`{"metalink":"PG1ldGFsaW5rLz4=","labels":{"<a>":"b"}}`:     "6a25a60b6fe1fbaa1afe572c293c2ecec0fae491b1f2fd200c4037e3609880b5",
	} {
		var s TaskSpec
		if err := json.Unmarshal([]byte(spec), &s); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", s.Hash()); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
}

// A time is written in its layout.
func TestTime_AppendEqualsLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := Time(rapid.Int64Range(-1e14, 1e15).Filter(func(n int64) bool { return n != 0 }).Draw(t, "time"))
		if got, want := string(at.append(nil)), time.UnixMilli(int64(at)).UTC().Format(`"`+timeLayout+`"`); got != want {
			t.Fatalf("%d is %s, want %s", int64(at), got, want)
		}
	})
}

// An option is written like a string or a list of strings.
func TestOption_AppendEqualsMarshal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := []string{text(t), text(t)}
		if got := plain(t, OptionValue(list)); got != plain(t, list) {
			t.Fatalf("%q is %s", list, got)
		}
		if got := plain(t, OptionValue(list[:1])); got != plain(t, list[0]) {
			t.Fatalf("%q is %s", list[:1], got)
		}
	})
	if got := plain(t, []OptionValue{nil, {}}); got != "[null,[]]" {
		t.Errorf("no value and none at all are %s", got)
	}
}

// A progress that is not a number is written as null.
func TestProgress_NaNIsNull(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(appendFloat(nil, f)); got != "null" {
			t.Errorf("%v is %s", f, got)
		}
	}
}
