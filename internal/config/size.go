package config

import (
	"fmt"
	"math"
	"strconv"
)

// Size is a number of bytes, or of bytes a second. It is written as a number or
// as "500K", "20M", "5G" or "1T", with K for 1024.
type Size int64

// sizeUnits are the letters and how often each is 1024.
const sizeUnits = "KMGT"

// parseSize reads the text of a [Size].
func parseSize(text string) (Size, error) {
	digits, shift := text, 0
	for i, unit := range sizeUnits {
		if n := len(text) - 1; n > 0 && (rune(text[n]) == unit || rune(text[n]) == unit+'a'-'A') {
			digits, shift = text[:n], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%.40q is not a number of bytes such as 500K, 20M or 5G", text)
	}
	return Size(n << shift), nil
}

// String is the shortest exact form.
func (s Size) String() string {
	shift, unit := 0, ""
	for i := range sizeUnits {
		if next := 10 * (i + 1); s != 0 && s>>next<<next == s {
			shift, unit = next, sizeUnits[i:i+1]
		}
	}
	return strconv.FormatInt(int64(s>>shift), 10) + unit
}
