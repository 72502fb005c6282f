package model

import "strings"

// HeaderTraceparent is the header of a request that names its trace.
const HeaderTraceparent = "traceparent"

// SampledTrace returns the id of the trace of a valid traceparent whose flags say that the
// trace is sampled; "" for any other.
func SampledTrace(traceparent string) string {
	const id, idEnd, flags = 3, 35, 54
	if !ValidTraceparent(traceparent) || !strings.ContainsAny(traceparent[flags:], "13579bdf") {
		return ""
	}
	return traceparent[id:idEnd]
}

// ValidTraceparent reports whether s is a traceparent of W3C Trace Context, version 00
// or a later one of the same length: a version other than ff, an id of the trace and one
// of the parent that are not zero, and flags, in lower-case hexadecimal digits.
func ValidTraceparent(s string) bool {
	const version, trace, parent, length = 2, 35, 52, 55
	if len(s) != length || s[version] != '-' || s[trace] != '-' || s[parent] != '-' || s[:version] == "ff" {
		return false
	}
	for i := range len(s) {
		if i != version && i != trace && i != parent && !strings.Contains("0123456789abcdef", s[i:i+1]) {
			return false
		}
	}
	return strings.Trim(s[version+1:trace], "0") != "" && strings.Trim(s[trace+1:parent], "0") != ""
}
