package pipeline

import (
	"fmt"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/lane"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// commit makes the epoch's slices durable by the WAL's policy. Without a WAL there is nothing to do.
func (p *Pipeline) commit() error { return nil }

// recoverWAL refuses a WAL: the pipeline can't stage slices yet, and doing without in silence would lose them at a restart.
func (p *Pipeline) recoverWAL() error {
	return fmt.Errorf("%w: Options.WAL: this version keeps sealed slices in memory only (use the Micronode profile)", wal.ErrWALDirUnusable)
}

func (p *Pipeline) closeWAL() error { return nil }

func (p *Pipeline) walAcked(int, []*lane.Item) {}

func (p *Pipeline) publishWAL() {}

func (p *Pipeline) readBack(q *pending) (canon.SealedSlice, error) { return q.slice, nil }
