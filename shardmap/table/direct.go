package table

import "unsafe"

// The direct path: the common case of Record and Handle.Count in assembly, without a pin.
//
// The scheduler neither moves nor stops a goroutine inside an assembly function: there are no preemption points in
// it, and asynchronous preemption leaves code alone for which there are no stack maps (runtime.isAsyncSafePoint). So
// a leaf function in assembly is a pinned section as it stands: its P stays its P, and a stop of the world waits for
// it. What remains is to learn the P's number, which procPin reads off the goroutine's M. The direct path reads it in
// the same place, if procPin's own code shows at start-up that it is there; if not, Core.quick stays nil and all goes
// the pinned way, some nanoseconds slower. Package internal/hold has the test that a new Go release has to pass.
//
// The generated half is in zlayout_*_amd64.s; it does what the *Pinned functions of zlayout_*.go do, and jumps to
// them where a case is not common.

// DirectColumns is the number of columns that the direct path reaches; Ps beyond it count the pinned way.
const DirectColumns = 256

// Offsets for generated assembly.
const (
	QuickOffset   = unsafe.Offsetof(Core{}.quick)
	SeedOffset    = unsafe.Offsetof(Core{}.seed)
	SlotsOffset   = unsafe.Offsetof(Gen{}.slots)
	HintsOffset   = unsafe.Offsetof(Gen{}.hints)
	LimitOffset   = unsafe.Offsetof(Gen{}.limit)
	BucketsOffset = unsafe.Offsetof(Gen{}.buckets)
	RowsOffset    = unsafe.Offsetof(Gen{}.n)
	OwnOffset     = unsafe.Offsetof(Gen{}.own)
)

// publish makes g the generation to count in, nil for none. The caller holds all partition locks, or is alone.
func (c *Core) publish(g *Gen) {
	c.gen.Store(g)
	if direct {
		c.quick.Store(g)
	}
}

// Direct tells whether the direct path is in use.
func Direct() bool { return direct }
