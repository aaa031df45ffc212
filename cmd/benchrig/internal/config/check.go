package config

import (
	"context"
	"errors"
	"fmt"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// Check asks the recorder itself whether it would take the options, without opening a WAL or a sink. The error joins every fault.
func (c *Config) Check() error {
	var faults []error
	o := c.Options
	switch {
	case o.Profile == accounting.Macronode && o.WAL == nil:
		faults = append(faults, errors.New("wal.dir: got none, want a directory: the macronode profile keeps sealed slices in a WAL"))
	case o.Profile == accounting.Micronode && o.WAL != nil:
		faults = append(faults, errors.New("wal.dir: got one, want none with the micronode profile, which keeps nothing across a restart"))
	}
	if o.CounterFile != "" && o.WAL == nil {
		faults = append(faults, errors.New("counter_file: got one, want wal.dir beside it"))
	}
	if d := o.CheckpointInterval; d != 0 && (d < 100*time.Millisecond || o.WAL == nil || o.WAL.Fsync != wal.OnSeal) {
		faults = append(faults, fmt.Errorf("checkpoint_interval: got %v, want 0s, or from 100ms with wal.dir and wal.fsync = on-seal beside it", d))
	}
	faults = append(faults, c.Serve.check()...)
	o.Profile, o.WAL, o.CounterFile, o.CheckpointInterval = accounting.Micronode, nil, "", 0
	if o.CapacityRows > 1000 {
		o.CapacityRows = min(o.CapacityRows, 1<<30+1)
		if o.CapacityRows <= 1<<30 {
			o.CapacityRows = 1000 // valid, and no memory is taken for it here
		}
	}
	r, err := accounting.New(o)
	if err != nil {
		return errors.Join(append(faults, err)...)
	}
	return errors.Join(append(faults, r.Close(context.Background()))...)
}
