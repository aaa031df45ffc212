package pipeline

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/ron-accounting/ron-accounting/shardmap"
)

// recover makes the shard map and, with a WAL, brings back what an earlier run left: the writer, the chains' heads, what is pending.
func (p *Pipeline) recover() error {
	if p.o.WAL != nil {
		return p.recoverWAL()
	}
	rand.Read(p.writer[:])
	return p.makeMap()
}

// makeMap makes an empty shard map.
func (p *Pipeline) makeMap() (err error) {
	p.m, err = shardmap.NewWide(shardmap.Config{Capacity: p.o.CapacityRows, Partitions: p.o.Shards})
	return err
}

// dismantle ends the export and closes the WAL. What Close and a failed Open have in common.
func (p *Pipeline) dismantle() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := p.closeRouters(ctx)
	return errors.Join(err, p.closeWAL())
}
