package ariacli

import (
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pairs is a flag of names and values, NAME=VALUE or several with commas between them. It
// implements [pflag.Value]. A name that is given twice is refused: one of its values would be lost.
type pairs struct{ to *map[string]string }

// Set implements [pflag.Value].
func (p pairs) Set(text string) error {
	list := []string{text}
	if strings.Count(text, "=") > 1 {
		var err error
		if list, err = csv.NewReader(strings.NewReader(text)).Read(); err != nil {
			return err
		}
	}
	return addPairs(p.to, list)
}

// addPairs adds each NAME=VALUE to a map.
func addPairs(to *map[string]string, list []string) error {
	if *to == nil {
		*to = make(map[string]string)
	}
	for _, pair := range list {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=VALUE", pair)
		}
		if _, twice := (*to)[name]; twice {
			return fmt.Errorf("%q is given twice", name)
		}
		(*to)[name] = value
	}
	return nil
}

// String implements [pflag.Value].
func (p pairs) String() string {
	if p.to == nil {
		return ""
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(*p.to)) {
		list = append(list, name+"="+(*p.to)[name])
	}
	return strings.Join(list, ",")
}

// Type implements [pflag.Value].
func (p pairs) Type() string { return "NAME=VALUE" }
