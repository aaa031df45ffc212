// Command benchrig runs ron-accounting under load and proves that nothing was lost: workloads W1 to W4 with open-model
// arrivals, conservation read back from the ledger by code that shares nothing with the recorder, crash and power-cut
// loops, the reference ledger as a server, benchmarks, regression gates and captures.
//
//	benchrig run w1                  the main job: 10 s of W1 against the durable embedded ledger
//	benchrig run all --short         W1 to W4, scaled down
//	benchrig --help                  everything else
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	runtime.MemProfileRate = 0 // its table would be resident; capture heap turns it on
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { // a second interrupt ends at once
		<-ctx.Done()
		stop()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
