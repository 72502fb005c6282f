// Package display shows the progress of downloads: bars on a terminal, lines elsewhere.
//
// It is bounded whatever the number of downloads: a few rows and a total on a terminal;
// without one, failures and a total once there are more than a few. The names and
// errors that it prints come from servers, so they are cleaned of characters that
// control a terminal or change the direction of text. It writes no colors.
package display
