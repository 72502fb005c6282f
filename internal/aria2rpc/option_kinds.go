package aria2rpc

import (
	_ "embed"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

//go:embed options.tsv
var optionsTable string

// optionTypes are aria2's options by name.
var optionTypes = readOptionTypes(optionsTable)

// optionType is a row of options.tsv.
type optionType struct {
	use        optionUse
	kind       string
	words      []string // of an enum
	low, high  int64    // of an int or a size
	standard   string   // the default
	isStandard bool     // whether aria2 shows a default
}

// optionUse is where aria2 takes an option.
type optionUse uint8

const (
	useAdd    optionUse = 1 << iota // the calls that add a download
	useChange                       // changeOption
	useGlobal                       // changeGlobalOption, for later downloads
	useShared                       // changeGlobalOption, for the whole process
)

var optionUses = map[string]optionUse{
	"add": useAdd, "change": useChange, "global": useGlobal, "shared": useShared, "fixed": 0,
}

func readOptionTypes(table string) map[string]*optionType {
	all := make(map[string]*optionType)
	for line := range strings.Lines(table) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) < 3 {
			continue // a comment
		}
		o := &optionType{high: math.MaxInt64}
		for use := range strings.SplitSeq(columns[1], ",") {
			o.use |= optionUses[use]
		}
		kind := strings.Fields(columns[2])
		o.kind, o.words = kind[0], kind[1:]
		if o.kind == "int" || o.kind == "size" {
			o.low, _ = strconv.ParseInt(o.words[0], 10, 64) // the table is ours
			if len(o.words) > 1 {
				o.high, _ = strconv.ParseInt(o.words[1], 10, 64)
			}
		}
		if len(columns) > 3 {
			o.standard, o.isStandard = columns[3], true
		}
		all[columns[0]] = o
	}
	return all
}

var errValue = errors.New("not a value of the option")

// read checks a value as aria2 does, and returns it as aria2 shows it. An empty one that
// sets nothing is "" without an error.
func (o *optionType) read(value string) (string, error) {
	switch o.kind {
	case "bool":
		if value == "" {
			return "true", nil
		}
		return value, check(value == "true" || value == "false")
	case "enum":
		return value, check(slices.Contains(o.words, value))
	case "int":
		n, err := readInteger(value)
		return strconv.FormatInt(n, 10), cmpOr(err, check(n >= o.low && n <= o.high))
	case "size":
		n, err := readSize(value)
		return strconv.FormatInt(n, 10), cmpOr(err, check(n >= o.low && n <= o.high))
	case "float": // aria2 reads the number at the beginning, and takes a text without one as 0
		n, err := strconv.ParseFloat(numberAtBeginning.FindString(value), 64)
		return value, check(err != nil || n >= 0)
	case "checksum":
		kind, digest, _ := strings.Cut(value, "=")
		return value, check(len(digest) > 0 && len(digest) == digestDigits[strings.ToLower(kind)] && isHex(strings.ToLower(digest)))
	case "indexes":
		return value, checkIndexes(value)
	case "pieces":
		return value, checkPieces(value)
	}
	return value, nil
}

func check(ok bool) error {
	if ok {
		return nil
	}
	return errValue
}

func cmpOr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

var numberAtBeginning = regexp.MustCompile(`^\s*[+-]?([0-9.]+([eE][+-]?[0-9]+)?|[iI][nN][fF]|[nN][aA][nN])`)

// digestDigits is the number of hex digits of each digest that aria2 knows.
var digestDigits = map[string]int{
	"md5": 32, "sha-1": 40, "sha-224": 56, "sha-256": 64, "sha-384": 96, "sha-512": 128, "adler32": 8,
}

// readInteger reads a number as strtoll does, with white space around it.
func readInteger(s string) (int64, error) { return strconv.ParseInt(strings.TrimSpace(s), 10, 64) }

// readSize reads a number of bytes. What follows the unit K or M is ignored, as in aria2.
func readSize(s string) (int64, error) {
	unit := int64(1)
	if at := strings.IndexAny(s, "KMkm"); at >= 0 {
		if unit = 1 << 10; s[at] == 'M' || s[at] == 'm' {
			unit = 1 << 20
		}
		s = s[:at]
	}
	n, err := readInteger(s)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, errValue
	}
	return n * unit, nil
}

// maxIndex is the highest index of a file that aria2 takes.
const maxIndex = 1 << 20

// checkIndexes checks a list of indexes and ranges such as "1,3-5".
func checkIndexes(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		a, errA := readInteger(first)
		b, errB := readInteger(last)
		if errA != nil || errB != nil || min(a, b) < 1 || max(a, b) > maxIndex {
			return errValue
		}
	}
	return nil
}

// checkPieces checks a list of head[=SIZE] and tail[=SIZE].
func checkPieces(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		name, size, sized := strings.Cut(item, "=")
		if sized {
			if _, err := readSize(size); err != nil || size == "" {
				return errValue
			}
		}
		if item != "" && name != "head" && name != "tail" {
			return errValue
		}
	}
	return nil
}

// upper are the highest numbers that a task takes where aria2 takes more: a higher one is
// clamped for the task, and shown unclamped.
var upper = map[string]int64{
	"split": 16, "max-tries": 100, "max-download-limit": 1 << 50, "lowest-speed-limit": 1 << 50,
}

// taskValue is the value with which a task carries an option; "" if it carries none. Zero
// tries, which in aria2 means without end, are not sent: the dispatcher's own retries
// apply.
func taskValue(name, value string) string {
	switch limit, limited := upper[name]; {
	case !model.OptionAllowed(name), name == "max-tries" && value == "0":
		return ""
	case limited:
		n, _ := strconv.ParseInt(value, 10, 64) // as read has written it
		return strconv.FormatInt(min(n, limit), 10)
	case name == "select-file":
		return selectFile(value)
	case name == "checksum":
		return strings.ToLower(value)
	}
	return value
}

// selectFile writes a list of indexes as a task takes it: without spaces, empty items and
// ranges that run backwards, which select nothing. No torrent that a task can have has a
// file of the highest index.
func selectFile(s string) string {
	var kept []string
	for item := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(item, "-")
		a, err := readInteger(first)
		b, _ := readInteger(last)
		a, b = min(a, maxIndex-1), min(b, maxIndex-1)
		switch {
		case err != nil: // empty
		case !isRange:
			kept = append(kept, strconv.FormatInt(a, 10))
		case a <= b:
			kept = append(kept, strconv.FormatInt(a, 10)+"-"+strconv.FormatInt(b, 10))
		}
	}
	return strings.Join(kept, ",")
}
