package car

import (
	"bufio"
	"bytes"
	"io"

	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// SetSync replaces the sync of the archive's file. Only while nothing is put.
func (a *Archive) SetSync(f func(vfs.File) error) { a.sync = f }

// ReadAll counts the slices of a file's bytes.
func ReadAll(b []byte) (n int, err error) {
	r := bufio.NewReader(bytes.NewReader(b))
	src := &source{r: r, in: r}
	if err := src.header(); err != nil {
		return 0, err
	}
	for {
		if _, err := src.slice(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}
