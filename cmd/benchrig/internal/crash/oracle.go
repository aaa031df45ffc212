package crash

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// oracle is what one life of the child has counted, in a file that both sides map: three numbers a producer and key. They are written by that
// producer, and sealed by the sealer.
type oracle struct {
	mem       []byte
	words     []uint64
	producers int
	keys      int
}

const (
	began    = iota // before Record is called
	returned        // after it has returned nil
	sealed          // returned before a seal that is durable
	columns
)

func openOracle(path string, producers, keys int) (*oracle, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := producers * keys * columns * 8
	if err := f.Truncate(int64(size)); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("oracle %s: %w", path, err)
	}
	return &oracle{mem, unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(mem))), size/8), producers, keys}, nil
}

func (o *oracle) close() error { return unix.Munmap(o.mem) }

func (o *oracle) at(producer, column, key int) *uint64 {
	return &o.words[(producer*columns+column)*o.keys+key]
}

// add is called by the producer alone.
func (o *oracle) add(producer, column int, key uint32, n uint64) {
	p := o.at(producer, column, int(key))
	atomic.StoreUint64(p, *p+n)
}

// snapshot copies what has returned, for sealed.
func (o *oracle) snapshot(into []uint64) []uint64 {
	into = into[:0]
	for p := range o.producers {
		for k := range o.keys {
			into = append(into, atomic.LoadUint64(o.at(p, returned, k)))
		}
	}
	return into
}

// seal notes that a snapshot is durable.
func (o *oracle) seal(snapshot []uint64) {
	for i, v := range snapshot {
		atomic.StoreUint64(o.at(i/o.keys, sealed, i%o.keys), v)
	}
}

// fold adds a dead child's figures to the bounds, per key, and starts the next life's at zero.
func (o *oracle) fold(least, most []uint64, column int) {
	for p := range o.producers {
		for k := range o.keys {
			least[k] += *o.at(p, column, k)
			most[k] += *o.at(p, began, k)
		}
	}
	clear(o.words)
}
