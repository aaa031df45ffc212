package shardmap

import "github.com/ron-accounting/ron-accounting/shardmap/table"

// Types of table, so that users of the ready-made maps need one import.
type (
	Config      = table.Config      // of NewWide and NewCompact
	Status      = table.Status      // what became of an increment
	U128        = table.U128        // an exact sum of units
	Over        = table.Over        // a saturated row of a scan
	SweepReport = table.SweepReport // what a sweep did
	Region      = table.Region      // where a map's memory comes from
)

// The values of Status.
const (
	OK     = table.OK
	Absent = table.Absent
	Full   = table.Full
	Closed = table.Closed
)
