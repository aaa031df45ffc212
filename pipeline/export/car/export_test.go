package car

import "github.com/ron-accounting/ron-accounting/pipeline/vfs"

// SetSync replaces the sync of the archive's file. Only while nothing is put.
func (a *Archive) SetSync(f func(vfs.File) error) { a.sync = f }
