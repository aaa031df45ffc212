// Package capture takes profiles while a workload is offered, and keeps them where a release's captures belong: pprof files for other
// tools, folded stacks, and a page of flame graphs. What comes before the load (calibration, making the keys) and after it
// (reading the ledger back) is not in them.
package capture
