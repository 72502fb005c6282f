// Package suite tests the dashboard. It has only tests: files_test.go checks the rules for
// its files and the functions that need no page, suite_test.go walks every page and action
// in Chromium, against a real dispatcher and real workers, and against a second one with
// TLS, users and nginx in front (secured_test.go). It starts the programs and main.mjs,
// which runs the scenarios in the other modules; actions.mjs lists the scenario of each
// action, and a new action without one fails. timings.mjs measures; bench/scale starts it.
package suite
