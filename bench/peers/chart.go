package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// The chart's measures, in pixels.
const (
	chartWidth = 760
	labelWidth = 230
	barWidth   = 420
	barHeight  = 18
	groupGap   = 46
)

// chart draws an SVG: for each scenario a bar of each system, as long as its
// median, and a line from the least to the most.
func (rep *report) chart() string {
	var b strings.Builder
	y := 40
	for _, sc := range rep.scenarios {
		y = rep.group(&b, sc, y)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13">
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="16" y="24" font-size="12" fill="#57606a">Medians of %d rounds, all on the same machine; the thin line is the spread. Repeat it: task bench:peers</text>
%s</svg>
`, chartWidth, y, rep.rounds, b.String())
}

// group draws one scenario below y, and returns where the next begins.
func (rep *report) group(b *strings.Builder, sc scenario, y int) int {
	figure, unit, format := rate, "jobs/s, more is better", "%.0f"
	if sc.Load.Rate > 0 {
		figure, unit, format = p99, "p99 in ms, less is better", "%.1f"
	}
	longest := 0.0
	systems := rep.measured(sc)
	for _, s := range systems {
		longest = max(longest, slices.Max(rep.of(s.Name(), sc.Name, figure)))
	}
	if longest == 0 {
		return y
	}
	fmt.Fprintf(b, `<text x="16" y="%d" font-weight="600" fill="#1f2328">%s <tspan font-weight="400" fill="#57606a">(%s)</tspan></text>`+"\n",
		y+18, html.EscapeString(sc.Title), unit)
	y += 28
	scale := func(x float64) float64 { return x / longest * barWidth }
	for _, s := range systems {
		list := rep.of(s.Name(), sc.Name, figure)
		color := "#9aa4af"
		if strings.HasPrefix(s.Name(), "aria-") {
			color = "#2f6fdb"
		}
		middle := y + barHeight/2
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="#1f2328">%s</text>`, labelWidth-8, middle+4, html.EscapeString(s.Title()))
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, labelWidth, y+1, scale(median(list)), barHeight-3, color)
		fmt.Fprintf(b, `<path d="M%.1f %dH%.1f" stroke="#1f2328"/>`, labelWidth+scale(slices.Min(list)), middle, labelWidth+scale(slices.Max(list)))
		fmt.Fprintf(b, `<text x="%.1f" y="%d" fill="#1f2328">`+format+"</text>\n", labelWidth+scale(slices.Max(list))+8, middle+4, median(list))
		y += barHeight + 4
	}
	return y + groupGap - 28
}
