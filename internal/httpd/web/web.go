// Package web has the files of the dashboard: ES modules in js, styles in css, and bundle
// with the two files that are generated from them, because a browser shows a page 100 ms
// earlier with two requests than with thirty.
package web

import (
	"embed"
	"io/fs"
)

//go:generate go run -C ../../../tools ./bundle -dir ../internal/httpd/web

//go:embed index.html icon.svg bundle vendor/uplot/uPlot.esm.js vendor/uplot/uPlot.min.css vendor/uplot/LICENSE
var files embed.FS

// Files returns the files that a browser loads, with index.html at the root.
func Files() fs.FS { return files }
