package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// halts are the streams that a sink or recovery has stopped for good. A ledger that lost its file stops all of them at once, so only the first few
// errors are kept, of each kind, and the others counted: an error that names 100,000 streams is of no use, and takes minutes to print.
type halts struct {
	conflicts, others []error
	n                 int
}

const mostHalts = 4 // errors kept of each kind

func (h *halts) add(err error) {
	h.n++
	kept := &h.others
	if errors.Is(err, export.ErrConflict) {
		kept = &h.conflicts
	}
	if len(*kept) < mostHalts {
		*kept = append((*kept)[:len(*kept):len(*kept)], err)
	}
}

// err is nil where nothing is halted. What it returns does not change with the next add.
func (h *halts) err() error {
	if h.n == 0 {
		return nil
	}
	return &haltError{append(h.conflicts[:len(h.conflicts):len(h.conflicts)], h.others...), h.n}
}

type haltError struct {
	first []error
	n     int
}

func (e *haltError) Error() string {
	var b strings.Builder
	for i, err := range e.first {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(err.Error())
	}
	if more := e.n - len(e.first); more > 0 {
		fmt.Fprintf(&b, "\nand %d more streams halted", more)
	}
	return b.String()
}

func (e *haltError) Unwrap() []error { return e.first }
