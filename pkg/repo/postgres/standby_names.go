package postgres

import (
	"regexp"
	"slices"
	"strings"
)

// unnamed are the names under which PostgreSQL's own programs connect unless they are given
// another one: a standby without cluster_name, and what copies data.
var unnamed = []string{"walreceiver", "pg_basebackup", "pg_receivewal"}

// listPrefix matches what may stand before the names of synchronous_standby_names: "2 (",
// "FIRST 2 (" or "ANY 2 (".
var listPrefix = regexp.MustCompile(`(?is)^\s*(?:(?:first|any)\s+)?\d+\s*\((.*)\)\s*$`)

// standbyName matches one name, in quotes or without.
var standbyName = regexp.MustCompile(`"(?:[^"]|"")*"|[^\s,"]+`)

// standbyNames returns the names in a value of synchronous_standby_names that the server
// has accepted. PostgreSQL compares them without their case.
func standbyNames(value string) (names []string) {
	if list := listPrefix.FindStringSubmatch(value); list != nil {
		value = list[1]
	}
	for _, name := range standbyName.FindAllString(value, -1) {
		if strings.HasPrefix(name, `"`) {
			name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
		}
		names = append(names, strings.ToLower(name))
	}
	return names
}

// ambiguity returns why something other than the intended standby may confirm commits, ""
// if nothing can. same are the names of connected synchronous standbys, or candidates, that
// several connections have.
func ambiguity(value string, same []string) string {
	for _, name := range standbyNames(value) {
		switch {
		case name == "*":
			return "synchronous_standby_names has *: a running pg_basebackup or pg_receivewal counts as a standby"
		case slices.Contains(unnamed, name):
			return "synchronous_standby_names has " + name + ", the name of each connection of this kind that was given no other one"
		case slices.Contains(same, name):
			return "several connections have the name " + name + " of synchronous_standby_names"
		}
	}
	return ""
}
