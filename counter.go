package accounting

import "github.com/ron-accounting/ron-accounting/shardmap/table"

// Counter is a bound handle to one key's counter: the fastest way to count. It stays valid for ever, through windows, eviction and growth, and may be
// copied and used from any goroutine. The zero value is not a Counter: Add on it panics with a nil dereference.
type Counter struct{ c *table.Handle } // by this name: through shardmap.WideCounter the compiler does not inline Count

// Add adds n units. After Close, or where the row was evicted and there is no room for it again, the units count as rejected.
func (c Counter) Add(n uint64) { c.c.Count(n) }
