package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// This file keeps the counters' checkpoint, a file beside the segments, replaced as a whole: written under a temporary name, synced, renamed, the
// directory synced. What it says is the caller's business, and so is whether it still holds; the log only promises all of it or none.
//
//	0            8         12     16           24       56
//	+------------+---------+------+------------+--------+------+
//	| "RONOPEN\n"| version | zero | body bytes | digest | body |
//	+------------+---------+------+------------+--------+------+
const (
	countersName    = "open.counters"
	countersMagic   = "RONOPEN\n"
	countersVersion = 1
	countersHead    = 56
	// MostCounters is the largest checkpoint, in bytes.
	MostCounters = 1 << 30
)

// SaveCounters replaces the checkpoint, durably: after a crash at any point the old or the new one is there. It does not wait for commits, nor they
// for it. A file whose write or sync failed is never used again.
func (l *Log) SaveCounters(body []byte) error {
	l.countersMu.Lock()
	defer l.countersMu.Unlock()
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if len(body) > MostCounters {
		return fmt.Errorf("%w: checkpoint of the counters: got %d bytes, want at most %d", ErrInvalid, len(body), MostCounters)
	}
	digest := digestOf(body)
	head := le.AppendUint32(append(make([]byte, 0, countersHead), countersMagic...), countersVersion)
	head = append(le.AppendUint64(le.AppendUint32(head, 0), uint64(len(body))), digest[:]...)
	name := l.path(countersName)
	if err := l.replace(name, head, body); err != nil {
		return fmt.Errorf("accounting/wal: checkpoint of the counters: %w", err)
	}
	return nil
}

func (l *Log) replace(name string, parts ...[]byte) error {
	tmp := name + tmpSuffix
	_ = l.fs.Remove(tmp) // of a failed attempt: a new file has no failed sync behind it
	f, err := l.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WritevAt(parts, 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		l.discard(f, tmp)
		return err
	}
	if err = f.Close(); err == nil {
		err = l.fs.Rename(tmp, name)
	}
	if err != nil {
		_ = l.fs.Remove(tmp)
		return err
	}
	return l.fs.SyncDir(l.o.Dir)
}

// Counters returns the checkpoint; nil where there is none. It fails with ErrWALCorrupt where it is not what was written.
func (l *Log) Counters() ([]byte, error) {
	b, err := readCounters(l.fs, l.path(countersName))
	if errors.Is(err, ErrWALCorrupt) {
		l.mu.Lock()
		l.stats.Corrupt++
		l.mu.Unlock()
	}
	return b, err
}

func readCounters(fsys vfs.FS, name string) ([]byte, error) {
	b, err := vfs.ReadFile(fsys, name, countersHead+MostCounters)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("accounting/wal: checkpoint of the counters: %w", err)
	case len(b) < countersHead || string(b[:len(countersMagic)]) != countersMagic:
		return nil, fmt.Errorf("%w: %s: no checkpoint of counters", ErrWALCorrupt, countersName)
	}
	if v := le.Uint32(b[8:]); v != countersVersion {
		return nil, fmt.Errorf("accounting/wal: %s: format version %d; this program reads %d", countersName, v, countersVersion)
	}
	body := b[countersHead:]
	if n := le.Uint64(b[16:]); n != uint64(len(body)) || le.Uint32(b[12:]) != 0 {
		return nil, fmt.Errorf("%w: %s: got %d bytes, want %d", ErrWALCorrupt, countersName, len(body), n)
	}
	if got, want := digestOf(body), canon.Digest(b[24:countersHead]); got != want {
		return nil, fmt.Errorf("%w: %s: digest: got %v, want %v", ErrWALCorrupt, countersName, got, want)
	}
	return body, nil
}
