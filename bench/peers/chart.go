package main

import (
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/bench/internal/figures"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// The chart's measures, in pixels: panels in two columns, in each a line for
// each system.
const (
	panelWidth = 470
	panelGap   = 20 // round panels
	labelWidth = 215
	barWidth   = 170
	lineHeight = 20
	headHeight = 44 // of a panel
	topHeight  = 58 // of the chart
)

// style has the colours of light and dark pages.
const style = `<style>
.page{fill:#ffffff}.text{fill:#1f2328}.dim{fill:#59636e}.ours{fill:#2f6fdb}.other{fill:#8c959f}.spread{stroke:#1f2328}
@media (prefers-color-scheme:dark){.page{fill:#0d1117}.text{fill:#f0f6fc}.dim{fill:#9198a1}.ours{fill:#4a8df8}.other{fill:#6b7480}.spread{stroke:#f0f6fc}}
</style>
`

// chart draws an SVG: a panel for each scenario, and in it a bar of each system, as
// long as its median, with a line from the least to the most.
func (rep *report) chart() string {
	var b strings.Builder
	y, tallest, column := topHeight, 0, 0
	for _, sc := range rep.scenarios {
		systems := rep.measured(sc)
		if len(systems) == 0 {
			continue
		}
		rep.panel(&b, sc, systems, panelGap+column*(panelWidth+panelGap), y)
		tallest = max(tallest, headHeight+len(systems)*lineHeight+panelGap)
		if column++; column == 2 {
			y, tallest, column = y+tallest, 0, 0
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12">
%s<rect class="page" width="100%%" height="100%%" rx="6"/>
<text class="text" x="%d" y="26" font-weight="600" font-size="14">Submit, give to a worker, report as done: all processes on the same machine</text>
<text class="dim" x="%d" y="44">%s. Median and spread</text>
%s</svg>
`, 2*panelWidth+3*panelGap, y+tallest, style, panelGap, panelGap, html.EscapeString(rep.conditions()), b.String())
}

// panel draws one scenario with its upper left corner at x, y.
func (rep *report) panel(b *strings.Builder, sc scenario, systems []queue.System, x, y int) {
	figure, unit := rate, "jobs/s, more is better"
	if sc.Load.Rate > 0 {
		figure, unit = p99, "p50 (bold) and p99 in ms, less is better"
	}
	longest := 0.0
	for _, s := range systems {
		longest = max(longest, slices.Max(rep.of(s.Name(), sc.Name, figure)))
	}
	length := func(v float64) float64 { return v / longest * barWidth }
	fmt.Fprintf(b, `<text class="text" x="%d" y="%d" font-weight="600">%s</text>`+"\n", x, y+16, html.EscapeString(sc.Title))
	fmt.Fprintf(b, `<text class="dim" x="%d" y="%d">%s</text>`+"\n", x, y+32, unit)
	y += headHeight
	for _, s := range systems {
		list := rep.of(s.Name(), sc.Name, figure)
		class := "other"
		if strings.HasPrefix(s.Name(), "aria-") {
			class = "ours"
		}
		middle, zero := y+lineHeight/2, float64(x+labelWidth)
		bar := func(v float64, opacity string) {
			fmt.Fprintf(b, `<rect class="%s" x="%.0f" y="%d" width="%.1f" height="%d" rx="2" opacity="%s"/>`, class, zero, y+2, length(v), lineHeight-5, opacity)
		}
		text := fmt.Sprintf("%.0f", figures.Median(list))
		if sc.Load.Rate > 0 {
			half := figures.Median(rep.of(s.Name(), sc.Name, p50))
			bar(figures.Median(list), "0.45")
			bar(half, "1")
			text = fmt.Sprintf("%.1f, %.1f", half, figures.Median(list))
		} else {
			bar(figures.Median(list), "1")
		}
		fmt.Fprintf(b, `<text class="text" x="%d" y="%d" text-anchor="end">%s</text>`, x+labelWidth-8, middle+4, html.EscapeString(s.Title()))
		fmt.Fprintf(b, `<path class="spread" d="M%.1f %dH%.1f"/>`, zero+length(slices.Min(list)), middle, zero+length(slices.Max(list)))
		fmt.Fprintf(b, `<text class="text" x="%.1f" y="%d">%s</text>`+"\n", zero+length(slices.Max(list))+8, middle+4, text)
		y += lineHeight
	}
}
