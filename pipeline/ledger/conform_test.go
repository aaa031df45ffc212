package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o ledger.Options) (*ledger.Ledger, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "usage.ledger")
	l, err := ledger.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, path
}

func held(t testing.TB, l *ledger.Ledger, s export.Stream) (out []canon.SealedSlice) {
	t.Helper()
	for sl, err := range l.Slices(s, 0) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, sl)
	}
	if err := canon.VerifyChain(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// fault makes commits of l fail as an exporter of a process of its own would see it.
func fault(l *ledger.Ledger, f exporttest.Fault) (restore func()) {
	release := make(chan struct{})
	l.SetCommit(func(tx *bbolt.Tx) error {
		switch f {
		case exporttest.LoseReply:
			err := tx.Commit()
			<-release
			return err
		case exporttest.Slow:
			time.Sleep(300 * time.Millisecond)
		case exporttest.Hang:
			<-release
		case exporttest.Unavailable:
			return errors.Join(&os.PathError{Op: "write", Err: syscall.ENOSPC}, tx.Rollback())
		}
		return tx.Commit()
	})
	return func() {
		close(release)
		for deadline := time.Now().Add(time.Minute); l.Busy() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		l.SetCommit((*bbolt.Tx).Commit)
	}
}

func TestConformance(t *testing.T) {
	exporttest.Run(t, func(t *testing.T) *exporttest.Harness {
		l, _ := open(t, ledger.Options{})
		return &exporttest.Harness{
			Sink:        l,
			Another:     func() exporttest.Sink { return l },
			Inject:      func(f exporttest.Fault) func() { return fault(l, f) },
			Held:        func(s export.Stream) []canon.SealedSlice { return held(t, l, s) },
			Unavailable: func(err error) bool { return errors.Is(err, ledger.ErrFull) && errors.Is(err, syscall.ENOSPC) },
		}
	})
}
