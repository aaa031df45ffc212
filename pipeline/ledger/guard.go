package ledger

import (
	"fmt"
	"runtime/debug"
)

// guard runs f, which reads or writes the mapped file through bbolt. A damaged page makes bbolt panic, a truncated file
// makes the kernel raise SIGBUS; both become a *CorruptError instead of ending the host. The goroutine's own setting of
// PanicOnFault is restored.
func guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = &CorruptError{What: fmt.Sprintf("the file's pages lead astray: %v", r)}
			if e, ok := r.(error); ok {
				err.(*CorruptError).Err = e
			}
		}
	}()
	return f()
}
