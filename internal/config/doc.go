// Package config defines the configuration of the programs: one struct for each, its
// defaults, and how file, environment and flags are laid over them.
//
// Later ones win: defaults, a file of JSON with comments, environment, flags.
// The struct tags are the one place where a key is written: file keys,
// environment names, flags, -h and docs/configuration.md all come from them.
// The tags are
//
//	key    the name in the file; a struct inside is a section
//	doc    one sentence for -h and the documentation
//	env    names besides PREFIX_PATH; those before a "," win over it, those
//	       after it lose
//	flag   the flag's name, for the keys that have one
//	oneof  the legal values, separated by "|"
//	min    the least legal number, duration or size
//	max    the greatest
//	example  an object as it stands in the file, for errors
//
// An unknown key and a bad value are an [Error] that names the key and where it
// was given. Secrets print as "xxxxx".
package config
