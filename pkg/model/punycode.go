package model

import (
	"math"
	"strings"
	"unicode/utf8"
)

// The parameters that RFC 3492 fixes for host names in its section 5.
const (
	punyBase        = 36
	punyTMin        = 1
	punyTMax        = 26
	punySkew        = 38
	punyDamp        = 700
	punyInitialBias = 72
	punyInitialN    = 0x80
)

// asciiHost returns the form of a lower-case Unicode host name that DNS has: each
// label with other characters than ASCII becomes "xn--" and its Punycode. A name that
// has no such form is returned as it is.
func asciiHost(name string) string {
	// The three dots that IDNA (RFC 3490, section 3.1) takes for a full stop.
	name = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".").Replace(name)
	labels := strings.Split(name, ".")
	for i, label := range labels {
		switch {
		case isASCII(label):
		case utf8.RuneCountInString(label) > maxLabel:
			return name
		default:
			labels[i] = "xn--" + punycode(label)
		}
	}
	return strings.Join(labels, ".")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// maxLabel bounds the characters of a label: no label that DNS knows is longer, and
// encoding takes time by the square of the length.
const maxLabel = 63

// punycode encodes a label of at most maxLabel characters by RFC 3492, section 6.3;
// no number overflows then.
func punycode(label string) string {
	runes := []rune(label)
	var out []byte
	for _, r := range runes {
		if r < punyInitialN {
			out = append(out, byte(r))
		}
	}
	basic := len(out)
	handled := basic
	if basic > 0 {
		out = append(out, '-')
	}
	n, bias, delta := rune(punyInitialN), punyInitialBias, 0
	for handled < len(runes) {
		next := rune(math.MaxInt32)
		for _, r := range runes {
			if r >= n && r < next {
				next = r
			}
		}
		delta += int(next-n) * (handled + 1)
		n = next
		for _, r := range runes {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			out = appendPunycodeNumber(out, delta, bias)
			bias = adaptBias(delta, handled+1, handled == basic)
			delta = 0
			handled++
		}
		delta++
		n++
	}
	return string(out)
}

// appendPunycodeNumber writes a delta as a variable-length integer.
func appendPunycodeNumber(out []byte, delta, bias int) []byte {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	for k := punyBase; ; k += punyBase {
		t := min(max(k-bias, punyTMin), punyTMax)
		if delta < t {
			return append(out, digits[delta])
		}
		out = append(out, digits[t+(delta-t)%(punyBase-t)])
		delta = (delta - t) / (punyBase - t)
	}
}

// adaptBias is the bias adaptation of RFC 3492, section 6.1.
func adaptBias(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for delta > (punyBase-punyTMin)*punyTMax/2 {
		delta /= punyBase - punyTMin
		k += punyBase
	}
	return k + (punyBase-punyTMin+1)*delta/(delta+punySkew)
}
