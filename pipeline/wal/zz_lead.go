package wal

import (
	"crypto/rand"

	"github.com/ron-accounting/ron-accounting/canon"
)

// Placeholders of the lead so that the tree builds; builder F: delete this file when yours exist.

func newID() (id canon.ID) { rand.Read(id[:]); return id }

func fetchV1(*move) (meta, []byte, error) { return meta{}, nil, ErrWALCorrupt }

func kernelBootID() (b [16]byte) { return b }
