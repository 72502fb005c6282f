package model

import (
	"cmp"
	"crypto/sha1" // the hash of BitTorrent v1
	"encoding/base32"
	"encoding/hex"
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

// InfoHash returns the info-hash of a magnet link, which is in hex or base32 (BEP 9), in
// lower-case hex; "" if it is neither.
func InfoHash(text string) string {
	if len(text) != hex.EncodedLen(sha1.Size) && len(text) != base32.StdEncoding.EncodedLen(sha1.Size) {
		return "" // base32 would skip line breaks, which aria2 does not
	}
	sum, err := hex.DecodeString(text)
	if err != nil {
		sum, err = base32.StdEncoding.DecodeString(strings.ToUpper(text))
	}
	if err != nil || len(sum) != sha1.Size {
		return ""
	}
	return hex.EncodeToString(sum)
}

// checkMagnet refuses a magnet link that names no torrent, or only one of BitTorrent
// v2, which no worker can fetch. aria2 takes the first info-hash that it can read. A stored
// link may have any, as in earlier versions.
func checkMagnet(field string, topics []string, stored bool) error {
	v2, unreadable := false, ""
	for _, topic := range topics {
		hash, ok := strings.CutPrefix(topic, "urn:btih:")
		if ok && (stored || InfoHash(hash) != "") {
			return nil
		}
		if ok {
			unreadable = cmp.Or(unreadable, topic)
		}
		v2 = v2 || strings.HasPrefix(topic, "urn:btmh:")
	}
	if unreadable != "" {
		return invalid(field, "the magnet link has no info-hash: xt=%.80s is not urn:btih: with 40 hex or 32 base32 digits", unreadable)
	}
	if v2 {
		return invalid(field, "the magnet link is for BitTorrent v2 only (xt=urn:btmh:…), which no worker can fetch; use one with xt=urn:btih:…")
	}
	return invalid(field, "the magnet link has no xt=urn:btih:…")
}
