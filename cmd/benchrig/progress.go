package main

import (
	"fmt"
	"io"
	"time"
)

// progressEvery is how often work that takes long says how far it is.
const progressEvery = 2 * time.Second

// progress tells of work that takes long, and nothing of what does not.
type progress struct {
	w    io.Writer
	next time.Time
}

func newProgress(w io.Writer) *progress { return &progress{w, time.Now().Add(progressEvery)} }

// tell says how much of the work at hand is done.
func (p *progress) tell(done, of uint64) {
	if now := time.Now(); now.After(p.next) && of > 0 {
		p.next = now.Add(progressEvery)
		fmt.Fprintf(p.w, "%.0f %% read\n", 100*float64(done)/float64(of))
	}
}
