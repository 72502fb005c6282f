// Package web has the files of the dashboard: plain ES modules and CSS that the browser
// runs without a build step.
package web

import (
	"embed"
	"io/fs"
)

//go:embed index.html icon.svg css js vendor/uplot/uPlot.esm.js vendor/uplot/uPlot.min.css vendor/uplot/LICENSE
var files embed.FS

// Files returns the files of the dashboard, with index.html at the root.
func Files() fs.FS { return files }
