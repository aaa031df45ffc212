package config

import (
	"errors"
	"fmt"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/redact"
)

// Changed returns the keys whose values differ. The error names every one of them that may not change while the process runs.
func Changed(old, new []Value) (keys []string, err error) {
	var faults []error
	for i := range new {
		k := new[i].Key
		if old[i].Text == new[i].Text {
			continue
		}
		keys = append(keys, k.Name)
		if !k.Reloadable {
			faults = append(faults, fmt.Errorf("%s: from %q to %q: can't change while it runs, restart instead", k.Name, Shown(old[i]), Shown(new[i])))
		}
	}
	return keys, errors.Join(faults...)
}

// Shown is the value as logs may have it: without the password of an address.
func Shown(v Value) string { return redact.Addresses(v.Text) }
