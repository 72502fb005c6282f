// Package suite tests the dashboard: the rules for its files, and its functions that need
// no page. It has only tests.
package suite
