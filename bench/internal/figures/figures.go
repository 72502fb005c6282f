// Package figures is what the benchmarks with several systems have in common: the middle
// of their figures, and the files that they write.
package figures

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"slices"
)

// Of returns a figure of each result that matches, in their order.
func Of[R any](results []R, matches func(*R) bool, figure func(*R) float64) []float64 {
	var list []float64
	for i := range results {
		if r := &results[i]; matches(r) {
			list = append(list, figure(r))
		}
	}
	return list
}

// Median returns the middle value, or the mean of the middle two; 0 of an empty list.
func Median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Write writes the results as JSON and the chart, each unless its file is "".
func Write(raw string, results any, chart string, draw func() string) error {
	if raw != "" {
		text, err := json.MarshalIndent(results, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(raw, text, 0o644); err != nil {
			return err
		}
	}
	if chart == "" {
		return nil
	}
	return os.WriteFile(chart, []byte(draw()), 0o644)
}

// WellFormed returns the error of a text that is not well-formed XML, such as a chart.
func WellFormed(text []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
