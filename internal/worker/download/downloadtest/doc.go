// Package downloadtest is the suite that every download engine passes, against
// servers that misbehave, and the servers and waits for further tests.
package downloadtest
