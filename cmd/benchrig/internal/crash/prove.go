package crash

import (
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/workload"
)

// prove reads what the last kill has left, lets one life drain it, and reads it again.
func (r *run) prove() error {
	if err := r.read(&r.res.AtKill); err != nil {
		return err
	}
	c := r.child()
	c.Finish = true
	p, err := r.start(c)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		p.kill()
		return fmt.Errorf("the last life does not drain\n%s", p.stderr.String())
	}
	if p.err != nil {
		return fmt.Errorf("the last life: %w\n%s", p.err, p.stderr.String())
	}
	if err := r.read(&r.res.Drained); err != nil {
		return err
	}
	d := &r.res.Drained
	if d.Open > 0 || d.Pending > 0 {
		d.Breaks = append(d.Breaks, fmt.Sprintf("after draining %d keys are open and %d slices pending", d.Open, d.Pending))
	}
	ok := func(p *Proof) bool { return p.Lost == "0" && p.Double == "0" && len(p.Breaks) == 0 }
	r.res.Pass = ok(&r.res.AtKill) && ok(d)
	return nil
}

// read makes one proof of the ledger's file, the log's directory and the counter file.
func (r *run) read(p *Proof) error {
	book := conserve.NewBook()
	if err := book.ReadLedgerFile(filepath.Join(r.dir, "ledger.db")); err != nil {
		return err
	}
	log, err := conserve.ReadLog(r.wal)
	if err != nil {
		return err
	}
	if err := book.AddMissing(log); err != nil {
		return err
	}
	p.Breaks = append([]string{}, book.Breaks(10)...)
	p.Pending, p.Gaps = log.Pending(), book.Gaps()
	r.res.Epoch, r.res.Slices, r.res.Streams = log.Epoch, book.Slices, book.Streams()
	if r.res.CounterFile {
		counters, err := conserve.ReadCounters(filepath.Join(r.shared, "counters"), log.Epoch)
		if err != nil {
			return err
		}
		if counters.Committed > log.Epoch {
			p.Breaks = append(p.Breaks, fmt.Sprintf("the counter file knows epoch %d, the log only %d", counters.Committed, log.Epoch))
		}
		p.Open = len(counters.Open)
		book.AddOpen(counters)
	}
	s := spec()
	keys := workload.NewGenerator(s, 0, 1)
	least, most := new(big.Int), new(big.Int)
	diff := book.Compare(func(yield func(conserve.Expected) bool) {
		for i := range r.least {
			least.Add(least, new(big.Int).SetUint64(r.least[i]))
			most.Add(most, new(big.Int).SetUint64(r.most[i]))
			k := keys.Key(uint32(i))
			if !yield(conserve.Expected{Least: r.least[i], Most: r.most[i], Key: conserve.Key{
				Tenant: k.Tenant, Subject: k.Subject, Namespace: k.Namespace, Dimension: s.Dims[k.Dimension],
			}}) {
				return
			}
		}
	})
	r.res.Keys, r.res.Least, r.res.Most = diff.Keys, least.String(), most.String()
	p.Found, p.Lost, p.Double, p.Examples = diff.Ledger.String(), diff.Lost.String(), diff.Double.String(), diff.Examples
	return nil
}
