package pipeline

// Stats returns the conservation figures as of now: a pass over the counters under the seal lock, so that all figures are of one moment.
func (p *Pipeline) Stats() Stats {
	p.sealMu.Lock()
	defer p.sealMu.Unlock()
	s := p.figures()
	out := Stats{
		Units: make(map[string]Units, len(p.dims)), Streams: p.streams.len(), Rows: p.m.Len(),
		PendingSlices: p.tracker.pending(), Coalesced: p.coalesced.Load(),
	}
	for i, name := range s.names {
		out.Units[name] = s.units[i]
	}
	return out
}

// figures computes the conservation figures. Under sealMu.
func (p *Pipeline) figures() *unitsSnapshot {
	s := &unitsSnapshot{names: p.dims, units: make([]Units, len(p.dims)), atRisk: make([]u128, len(p.dims))}
	recorded, open := make([]u128, len(p.dims)), make([]u128, len(p.dims))
	p.m.Totals(recorded, open)
	for i := range p.dims {
		b := p.books.page(i)
		s.units[i] = newUnits([7]u128{b.earlier.Add(recorded[i]), open[i], b.pending, b.acked, b.gap, b.saturated, b.rejected})
		s.atRisk[i] = open[i].Sub(p.ckpt.covered[i])
	}
	return s
}

// publish sets the once-a-second figures and gauges. Under sealMu.
func (p *Pipeline) publish() {
	p.metrics.snapshot.Store(p.figures())
	pending := p.tracker.pending()
	p.metrics.Pending.Set(float64(pending))
	p.metrics.QueueDepth.WithLabelValues("pending_slices").Set(float64(pending))
	backlog := 0
	for _, r := range p.routers {
		backlog += r.Stats().Queued
	}
	p.metrics.Backlog.Set(float64(backlog))
	p.metrics.QueueDepth.WithLabelValues("lane").Set(float64(backlog))
	p.judgeDeaf()
	degraded := 0.0
	if beside := p.metrics.beside.Load(); !p.ready.get().Ready || beside != nil && (*beside)() {
		degraded = 1
	}
	p.metrics.Degraded.Set(degraded)
	p.publishWAL()
}
