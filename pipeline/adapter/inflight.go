package adapter

import "sync"

// inflight bounds the bodies that are being received or judged, together and for each principal, so that one that floods leaves
// half of the room to the others.
type inflight struct {
	maxBytes int64
	maxN     int

	mu    sync.Mutex
	bytes int64
	n     int
	of    map[string]*held
}

type held struct {
	bytes int64
	n     int
}

// claim takes room for a body; false where there is none. Each claim is given back with release.
func (f *inflight) claim(who string, bytes int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.of[who]
	if h == nil {
		h = &held{}
	}
	if f.bytes+bytes > f.maxBytes || f.n+1 > f.maxN || h.bytes+bytes > f.maxBytes/2 || h.n+1 > f.maxN/2 {
		return false
	}
	f.bytes += bytes
	f.n++
	h.bytes += bytes
	h.n++
	f.of[who] = h
	return true
}

func (f *inflight) release(who string, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes -= bytes
	f.n--
	h := f.of[who]
	h.bytes -= bytes
	if h.n--; h.n == 0 {
		delete(f.of, who)
	}
}

func (f *inflight) now() (bytes int64, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes, f.n
}
