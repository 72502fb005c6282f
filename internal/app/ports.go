package app

import (
	"fmt"
	"net"
	"strconv"
)

// nextFree returns the address if it is free, otherwise the next free port of the host.
// If another program takes it in between, the start fails with a clear error.
func nextFree(address string) (string, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%q is not HOST:PORT: %w", address, err)
	}
	first, err := strconv.Atoi(text)
	if err != nil || first <= 0 {
		return address, nil // -1 and 0 mean any free port
	}
	var last error
	for port := first; port < min(first+100, 65536); port++ {
		candidate := net.JoinHostPort(host, strconv.Itoa(port))
		l, err := net.Listen("tcp", candidate)
		if err != nil {
			last = err
			continue
		}
		return candidate, l.Close()
	}
	return "", fmt.Errorf("no free port from %s on: %w", address, last)
}
