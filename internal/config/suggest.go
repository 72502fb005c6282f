package config

import (
	"fmt"
	"strings"
)

// maxTypos is how many letters a misspelt name may be off to be recognized.
const maxTypos = 3

// suggest returns `; did you mean "database"?` if one of the names is close to the
// given one, or has it as its last part; otherwise "".
func suggest(given string, names []string) string {
	best, least := "", maxTypos+1
	for _, name := range names {
		distance := editDistance(strings.ToLower(given), strings.ToLower(name))
		if strings.HasSuffix(name, "."+given) {
			distance = 0 // the key without its section
		}
		if distance < least && 3*distance <= max(len(given), len(name)) {
			best, least = name, distance
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is the number of bytes to insert, delete, replace or swap with
// their neighbor to get from a to b. It returns more than maxTypos at once where
// the lengths say so.
func editDistance(a, b string) int {
	if len(a)-len(b) > maxTypos || len(b)-len(a) > maxTypos {
		return maxTypos + 1
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// alternatives writes `memory, sqlite or postgres`.
func alternatives(names []string) string {
	last := len(names) - 1
	if last <= 0 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
