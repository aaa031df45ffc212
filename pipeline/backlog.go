package pipeline

import "time"

// backlogEvery is how often a backlog that lasts is told.
const backlogEvery = time.Minute

// kept is what a seal left unsealed for want of room.
type kept struct {
	streams int
	longest *stream // of them, the one with most slices waiting; nil: none
	waiting int     // its slices
}

func (k *kept) add(s *stream) {
	k.streams++
	waiting := 0
	for _, l := range s.lanes {
		waiting = max(waiting, l.Len())
	}
	if k.longest == nil || waiting > k.waiting {
		k.longest, k.waiting = s, waiting
	}
}

// tellKept is what a seal that left streams unsealed means: readiness, metrics, and now and then a line of the log, which alone names a stream, because
// no metric has a tenant for a label. Under sealMu.
func (p *Pipeline) tellKept(k kept) {
	if k.streams == 0 {
		p.ready.set(QueuesBoundedOK, nil)
		return
	}
	p.ready.set(QueuesBoundedOK, ErrOrderOverflow)
	p.metrics.CoalescedTotal.Add(float64(k.streams))
	p.coalesced.Add(uint64(k.streams))
	if now := time.Now(); now.Sub(p.s.keptTold) >= backlogEvery {
		p.s.keptTold = now
		p.log.Warn("no room: streams go on counting, and are sealed in a later window", "streams", k.streams, "pending_slices", p.tracker.pending(),
			"longest", k.longest.name, "its_slices", k.waiting)
	}
}
