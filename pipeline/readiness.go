package pipeline

import (
	"sync"
	"time"
)

// ReadyKey names one thing that readiness depends on.
type ReadyKey string

const (
	ConfigLoaded    ReadyKey = "config_loaded"      // Open has validated and recovered; false once closed
	QueuesBoundedOK ReadyKey = "queues_bounded_ok"  // no stream was left unsealed for want of room
	ExporterOK      ReadyKey = "exporter_ok"        // no required sink is failing, and no lane is halted
	WALOK           ReadyKey = "wal_ok"             // the WAL takes commits, and its oldest entry is young enough
	BoundaryTicker  ReadyKey = "boundary_ticker_ok" // windows follow the clock
)

var readyKeys = []ReadyKey{ConfigLoaded, QueuesBoundedOK, ExporterOK, WALOK, BoundaryTicker}

// Readiness says whether the pipeline does all of its work, and if not, what is amiss. Counting goes on in any case.
type Readiness struct {
	Ready      bool
	Missing    []ReadyKey    // in the order of the constants above
	RetryAfter time.Duration // when to ask again; 0 when ready
}

// readiness holds the state of each key. Safe for concurrent use.
type readiness struct {
	mu      sync.Mutex
	ok      map[ReadyKey]bool
	why     map[ReadyKey]error
	retry   time.Duration
	missing func(ReadyKey) // called, under mu, each time a key goes from true to false
}

func newReadiness(retry time.Duration, missing func(ReadyKey)) *readiness {
	r := &readiness{ok: map[ReadyKey]bool{}, why: map[ReadyKey]error{}, retry: retry, missing: missing}
	for _, k := range readyKeys {
		r.ok[k] = true
	}
	return r
}

// set makes a key true (why nil) or false and reports whether that changed it.
func (r *readiness) set(k ReadyKey, why error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := why == nil
	changed := r.ok[k] != ok
	r.ok[k], r.why[k] = ok, why
	if changed && !ok {
		r.missing(k)
	}
	return changed
}

func (r *readiness) get() Readiness {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Readiness{Ready: true}
	for _, k := range readyKeys {
		if !r.ok[k] {
			out.Ready = false
			out.Missing = append(out.Missing, k)
			out.RetryAfter = r.retry
		}
	}
	return out
}

// reasons returns why each missing key is missing, for logs and DrainError.
func (r *readiness) reasons() map[ReadyKey]error {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[ReadyKey]error{}
	for k, ok := range r.ok {
		if !ok {
			out[k] = r.why[k]
		}
	}
	return out
}
