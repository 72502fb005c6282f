package main

import (
	"fmt"
	"html"
	"runtime"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/bench/internal/figures"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
)

func cores() int { return runtime.NumCPU() }

// The chart's measures, in pixels.
const (
	chartWidth = 620
	nameWidth  = 120
	lengthMost = 380
	rowHeight  = 20
	listHeight = 34
	left       = 16
)

// drawing draws an SVG: for each list a bar of each system, as long as its median rate: files
// per second of small files, bytes of others.
func (rep *report) drawing() string {
	var b strings.Builder
	y := 52
	for _, l := range rep.lists {
		fmt.Fprintf(&b, `<text class="text" x="%d" y="%d" font-weight="600">%s, %s</text>`+"\n", left, y+18, html.EscapeString(l.heading()), l.unit())
		y += listHeight - 8
		y = rep.bars(&b, l, y) + 10
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="12">
<style>.page{fill:#ffffff}.text{fill:#1f2328}.dim{fill:#59636e}.ours{fill:#2f6fdb}.other{fill:#8c959f}
@media (prefers-color-scheme:dark){.page{fill:#0d1117}.text{fill:#f0f6fc}.dim{fill:#9198a1}.ours{fill:#4a8df8}.other{fill:#6b7480}}</style>
<rect class="page" width="100%%" height="100%%" rx="6"/>
<text class="text" x="%d" y="24" font-weight="600" font-size="14">Downloads from an nginx on the same machine</text>
<text class="dim" x="%d" y="42">%s, %d cores, %d rounds, medians</text>
%s</svg>
`, chartWidth, y, left, left, html.EscapeString(proc.Processor()), cores(), rep.rounds, b.String())
}

// bars draws one list and returns where it ends.
func (rep *report) bars(b *strings.Builder, l list, y int) int {
	rate := func(r *result) float64 { return r.MBPerSec }
	if l.isSmall() {
		rate = func(r *result) float64 { return r.FilesPerSec }
	}
	longest := 0.0
	for _, s := range rep.systems {
		longest = max(longest, slices.Max(rep.of(s.Name(), l.name, rate)))
	}
	for _, s := range rep.systems {
		class := "other"
		if s.Ours() {
			class = "ours"
		}
		v := figures.Median(rep.of(s.Name(), l.name, rate))
		fmt.Fprintf(b, `<text class="text" x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/><text class="text" x="%.1f" y="%d">%.0f</text>`+"\n",
			left+nameWidth-8, y+14, html.EscapeString(s.Title()), class, left+nameWidth, y+2, v/longest*lengthMost, rowHeight-5,
			float64(left+nameWidth)+v/longest*lengthMost+8, y+14, v)
		y += rowHeight
	}
	return y
}
