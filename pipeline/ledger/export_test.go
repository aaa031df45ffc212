package ledger

import "go.etcd.io/bbolt"

// SetCommit lets tests fail or delay commits. No put may be under way.
func (l *Ledger) SetCommit(f func(*bbolt.Tx) error) { l.commitTx = f }

// Pages lets tests find the place of a record in the file.
func (l *Ledger) DB() *bbolt.DB { return l.db }

// HeaderSize is that of a record.
const HeaderSize = headerSize

// Busy reports whether a commit is under way.
func (l *Ledger) Busy() bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	return l.leading
}
