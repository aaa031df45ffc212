package jetstream

// Reconnects is the number of times that the connection was lost and mended; and whether it is up.
func (e *Exporter) Reconnects() (uint64, bool) { return e.nc.Stats().Reconnects, e.nc.IsConnected() }

// Partition is where a chain belongs in every month.
var Partition = partition
