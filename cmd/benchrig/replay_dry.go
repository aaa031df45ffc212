package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/car"
)

// tips is where each stream of a sink stands, for a dry run: to open the sink itself would make it, lock it or mend its end.
type tips map[export.Stream]tip

type tip struct {
	seq    uint64
	digest canon.Digest
}

// readTips reads an archive's, which need not be there.
func readTips(dir string) (tips, error) {
	t := tips{}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	for e, err := range car.Slices(dir) {
		if err != nil {
			return nil, err
		}
		t[export.StreamOf(e.Slice.Head())] = tip{e.Slice.Head().Seq, e.Slice.Digest()}
	}
	return t, nil
}

func (t tips) Tip(_ context.Context, s export.Stream) (uint64, canon.Digest, bool, error) {
	at, ok := t[s]
	return at.seq, at.digest, ok, nil
}

// Put is never called in a dry run.
func (t tips) Put(context.Context, canon.SealedSlice) (export.Ack, error) {
	return 0, errors.ErrUnsupported
}
