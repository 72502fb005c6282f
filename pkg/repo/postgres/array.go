package postgres

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/aria-cluster/dispatcher/pkg/repo/internal/plainjson"
)

// array is the values of a column for many rows, in PostgreSQL's binary form.
type array struct {
	kind *kind
	n    uint32
	b    []byte
	json plainjson.Writer // reused
}

// arrayHeader is the length of what stands before the elements.
const arrayHeader = 20

func newArray(k *kind, rows int) *array {
	return &array{kind: k, b: make([]byte, arrayHeader, arrayHeader+12*rows)}
}

// length begins an element.
func (a *array) length(n int) {
	a.n++
	a.b = binary.BigEndian.AppendUint32(a.b, uint32(n))
}

func (a *array) text(s string) { a.bytes(escape(s)) }

func (a *array) bytes(s string) {
	a.length(len(s))
	a.b = append(a.b, s...)
}

func (a *array) integer(n int64) { a.uint64(uint64(n)) }

func (a *array) uint64(n uint64) {
	a.length(8)
	a.b = binary.BigEndian.AppendUint64(a.b, n)
}

func (a *array) boolean(v bool) {
	a.length(1)
	if v {
		a.b = append(a.b, 1)
	} else {
		a.b = append(a.b, 0)
	}
}

// appendTo appends the array in its binary form.
func (a *array) appendTo(buf []byte) []byte {
	dimensions := uint32(1)
	if a.n == 0 {
		dimensions = 0
	}
	for i, v := range []uint32{dimensions, 0, a.kind.element, a.n, 1} {
		binary.BigEndian.PutUint32(a.b[4*i:], v)
	}
	if a.n == 0 {
		return append(buf, a.b[:12]...)
	}
	return append(buf, a.b...)
}

// registerArrays has the connection take values of type *array. pgx's own way costs more
// for each element.
func registerArrays(m *pgtype.Map) {
	for _, k := range kinds {
		m.RegisterType(&pgtype.Type{Name: "_" + k.sql, OID: k.array, Codec: arrayCodec{}})
	}
}

// arrayCodec implements [pgtype.Codec] for *array, which is never read.
type arrayCodec struct{}

var errNotRead = errors.New("arrays are not read")

func (arrayCodec) FormatSupported(format int16) bool { return format == pgtype.BinaryFormatCode }

func (arrayCodec) PreferredFormat() int16 { return pgtype.BinaryFormatCode }

func (arrayCodec) PlanEncode(_ *pgtype.Map, _ uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(*array); !ok || format != pgtype.BinaryFormatCode {
		return nil
	}
	return arrayPlan{}
}

func (arrayCodec) PlanScan(*pgtype.Map, uint32, int16, any) pgtype.ScanPlan { return nil }

func (arrayCodec) DecodeDatabaseSQLValue(*pgtype.Map, uint32, int16, []byte) (driver.Value, error) {
	return nil, errNotRead
}

func (arrayCodec) DecodeValue(*pgtype.Map, uint32, int16, []byte) (any, error) {
	return nil, errNotRead
}

type arrayPlan struct{}

// Encode implements [pgtype.EncodePlan].
func (arrayPlan) Encode(value any, buf []byte) ([]byte, error) {
	return value.(*array).appendTo(buf), nil
}
