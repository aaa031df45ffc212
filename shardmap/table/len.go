package table

// Len returns the number of rows that the map holds. Any goroutine may call it; beside inserts it is a moment's figure.
func (c *Core) Len() int {
	if g := c.gen.Load(); g != nil {
		return int(min(g.used.Load(), g.capacity))
	}
	c.sealMu.Lock()
	defer c.sealMu.Unlock()
	return int(min(c.sealer.cur.used.Load(), c.sealer.cur.capacity))
}
