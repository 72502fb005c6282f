package model

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// maxSpans bounds the selection of a magnet link.
const maxSpans = 1000

// MagnetSelection turns the parameter so of a magnet link (BEP 53), which counts files from 0,
// into a value of the option select-file, which counts from 1. aria2 1.36 ignores the parameter
// (findings/aria2-magnet-parameters.sh). What is no number or range is left out; "" if nothing
// is left.
func MagnetSelection(so string) string {
	var spans []string
	for span := range strings.SplitSeq(so, ",") {
		first, last, isRange := strings.Cut(span, "-")
		if !isRange {
			last = first
		}
		low, errLow := strconv.ParseUint(first, 10, 16)
		high, errHigh := strconv.ParseUint(last, 10, 16)
		if errLow != nil || errHigh != nil || high < low || len(spans) == maxSpans {
			continue
		}
		spans = append(spans, fmt.Sprintf("%d-%d", low+1, high+1))
	}
	return strings.Join(spans, ",")
}

// checkSelection refuses a magnet link whose parameter so has no file that can be read: without
// it every file would be fetched. The option select-file replaces the parameter.
func (s *TaskSpec) checkSelection() error {
	if !s.Magnet() || len(s.Options["select-file"]) > 0 {
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil // checkURL has the reason
	}
	if so := u.Query().Get("so"); so != "" && MagnetSelection(so) == "" {
		return invalid("url", "so: %.40q of the magnet link names no file; use numbers from 0 and ranges, such as 0,2-4", so)
	}
	return nil
}

// checkMagnet refuses a magnet link that names no torrent, or only one of BitTorrent
// v2, which no worker can fetch.
func checkMagnet(field string, topics []string) error {
	v2 := false
	for _, topic := range topics {
		if strings.HasPrefix(topic, "urn:btih:") {
			return nil
		}
		v2 = v2 || strings.HasPrefix(topic, "urn:btmh:")
	}
	if v2 {
		return invalid(field, "the magnet link is for BitTorrent v2 only (xt=urn:btmh:…), which no worker can fetch; use one with xt=urn:btih:…")
	}
	return invalid(field, "the magnet link has no xt=urn:btih:…")
}
