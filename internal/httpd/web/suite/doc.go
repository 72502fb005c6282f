// Package suite tests the dashboard. It has only tests: files_test.go checks the rules for
// its files and the functions that need no page, suite_test.go walks every page and action
// in Chromium, against a real dispatcher and real workers: it starts the programs and
// main.mjs, which runs the scenarios in the other modules.
package suite
