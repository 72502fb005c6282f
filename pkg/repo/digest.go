package repo

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
)

// Digest identifies a set of records, in any order: their number, and the sum modulo
// 2^256 of the SHA-256 of the kind and canonical JSON of each (see [Record]). A sum,
// unlike an exclusive or, detects a record that occurs twice. The zero value is that of
// no records; values compare with ==.
//
// It detects records that were lost, repeated or changed by mistake. It is not a
// signature: a program that can write the records can write their digest too.
type Digest struct {
	Tasks   int64
	Workers int64
	sum     [4]uint64 // little end first
}

// Add adds a record, encoding it if that was not done yet.
func (d *Digest) Add(r *Record) error {
	if err := r.Encode(); err != nil {
		return err
	}
	h := sha256.New()
	h.Write([]byte(r.Kind()))
	h.Write([]byte{'\n'})
	h.Write(r.canon)
	var one Digest
	one.setSum(h.Sum(nil))
	if r.Worker != nil {
		one.Workers = 1
	} else {
		one.Tasks = 1
	}
	*d = d.Plus(one)
	return nil
}

// Plus returns the digest of both sets together.
func (d Digest) Plus(e Digest) Digest {
	d.Tasks += e.Tasks
	d.Workers += e.Workers
	var carry uint64
	for i := range d.sum {
		d.sum[i], carry = bits.Add64(d.sum[i], e.sum[i], carry)
	}
	return d
}

// Minus returns the digest of d's set without those of e, which are in it.
func (d Digest) Minus(e Digest) Digest {
	d.Tasks -= e.Tasks
	d.Workers -= e.Workers
	var borrow uint64
	for i := range d.sum {
		d.sum[i], borrow = bits.Sub64(d.sum[i], e.sum[i], borrow)
	}
	return d
}

// Equal reports whether both are of the same records.
func (d Digest) Equal(e Digest) bool { return d == e }

// Sum returns the sum as 64 hexadecimal digits.
func (d Digest) Sum() string {
	var b [sha256.Size]byte
	for i, word := range d.sum {
		binary.BigEndian.PutUint64(b[len(b)-8*(i+1):], word)
	}
	return hex.EncodeToString(b[:])
}

func (d *Digest) setSum(b []byte) {
	for i := range d.sum {
		d.sum[i] = binary.BigEndian.Uint64(b[len(b)-8*(i+1):])
	}
}

// String prints the digest in one line.
func (d Digest) String() string {
	return fmt.Sprintf("%s, %s, digest %s", counted(d.Tasks, "task"), counted(d.Workers, "worker"), d.Sum())
}

// counted is a number with its noun.
func counted(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

type digestJSON struct {
	Tasks   int64  `json:"tasks"`
	Workers int64  `json:"workers"`
	Digest  string `json:"digest"`
}

// MarshalJSON implements [json.Marshaler].
func (d Digest) MarshalJSON() ([]byte, error) {
	return json.Marshal(digestJSON{d.Tasks, d.Workers, d.Sum()})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (d *Digest) UnmarshalJSON(b []byte) error {
	var v digestJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	sum, err := hex.DecodeString(v.Digest)
	if err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("digest: %.80q is not %d hexadecimal digits", v.Digest, 2*sha256.Size)
	}
	*d = Digest{Tasks: v.Tasks, Workers: v.Workers}
	d.setSum(sum)
	return nil
}
