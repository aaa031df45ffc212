package pprof

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//go:noinline
func burn(d time.Duration) (n uint64) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for i := range uint64(2000) {
			n = n*6364136223846793005 + i
		}
	}
	return n
}

// load keeps a CPU, a lock and a channel busy for about d.
func load(d time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for end := time.Now().Add(d); time.Now().Before(end); {
				mu.Lock()
				time.Sleep(200 * time.Microsecond)
				mu.Unlock()
			}
		})
	}
	stage.Do(context.Background(), stage.Seal, func(context.Context) { _ = burn(d) })
	wg.Wait()
	kept = make([]byte, 16<<20) // more than the heap profiler's sampling distance, and alive
	runtime.GC()                // the heap profile is as of the last collection
}

var kept []byte

func TestCaptureAllKinds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	c, err := Start(Options{Dir: dir, Kinds: Kinds(), Labels: map[string]string{"workload": "test"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Options{Dir: t.TempDir(), Kinds: []Kind{CPU}}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second CPU profile: got %v, want ErrInUse", err)
	}
	load(600 * time.Millisecond)
	m, err := c.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stop(); !errors.Is(err, ErrStopped) {
		t.Errorf("second Stop: got %v, want ErrStopped", err)
	}
	back, err := ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Files) != len(Kinds()) || len(back.Files) != len(Kinds()) || back.Labels["workload"] != "test" {
		t.Fatalf("manifest: %+v", back)
	}
	for _, f := range back.Files {
		path := filepath.Join(dir, f.Name)
		if st, err := os.Stat(path); err != nil || st.Size() != f.Bytes || f.Bytes == 0 {
			t.Errorf("%s: size %v, manifest says %d (%v)", f.Name, st, f.Bytes, err)
		}
		if !f.Kind.Profile() {
			if b, _ := os.ReadFile(path); !strings.HasPrefix(string(b), "go 1.") {
				t.Errorf("%s does not begin like an execution trace", f.Name)
			}
			continue
		}
		p, err := ReadProfileFile(path)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		g, err := NewGraph(p, GraphOptions{ByStage: f.Kind == CPU})
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		checkTree(t, g.Root)
		if g.Root.Value == 0 {
			t.Errorf("%s has no weight", f.Name)
		}
		if f.Kind == CPU && !hasChild(g.Root, "stage: seal") {
			t.Errorf("the CPU profile has no samples of stage seal")
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func hasChild(n *Node, name string) bool {
	for _, c := range n.Children {
		if c.Name == name {
			return true
		}
	}
	return false
}

// Contention before Start must not be in the capture: the runtime's profile is cumulative.
func TestMutexCaptureIsADelta(t *testing.T) {
	take := func(work func()) int64 {
		dir := t.TempDir()
		c, err := Start(Options{Dir: dir, Kinds: []Kind{Mutex}, MutexFraction: 1})
		if err != nil {
			t.Fatal(err)
		}
		work()
		if _, err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		p, err := ReadProfileFile(filepath.Join(dir, Mutex.FileName()))
		if err != nil {
			t.Fatal(err)
		}
		g, err := NewGraph(p, GraphOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return g.Root.Value
	}
	busy, idle := take(func() { load(200 * time.Millisecond) }), take(func() {})
	if busy < int64(50*time.Millisecond) || idle > busy/20 {
		t.Errorf("contention seen: %v while loaded, %v while idle afterwards", time.Duration(busy), time.Duration(idle))
	}
}

func TestCaptureBounds(t *testing.T) {
	dir := t.TempDir()
	c, err := Start(Options{Dir: dir, Kinds: []Kind{Trace}, MaxBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	load(20 * time.Millisecond)
	m, err := c.Stop()
	if !errors.Is(err, ErrLimit) || len(m.Files) != 1 || !m.Files[0].Truncated || m.Files[0].Bytes != 100 {
		t.Errorf("a trace of at most 100 bytes: %+v, %v; want 100 bytes marked truncated and ErrLimit", m.Files, err)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	err := Options{Kinds: []Kind{"nosuch", CPU, CPU}, MaxBytes: -1, MutexFraction: -1, BlockRate: -1}.Validate()
	for _, want := range []string{"Dir", "nosuch", "twice", "MaxBytes", "MutexFraction", "BlockRate"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if !errors.Is(err, ErrOptions) || !errors.Is(err, ErrKind) {
		t.Errorf("got %v, want ErrOptions and ErrKind", err)
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Options{Dir: blocked, Kinds: []Kind{Heap}}); err == nil {
		t.Error("a file in place of the directory was accepted")
	}
}

func TestFlightDumpsWhenAStageExceedsItsBound(t *testing.T) {
	dir := t.TempDir()
	f, err := NewFlight(FlightOptions{Dir: dir, Bounds: map[stage.Stage]time.Duration{stage.Seal: 20 * time.Millisecond}, Cooldown: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewFlight(FlightOptions{Dir: dir, Bounds: map[stage.Stage]time.Duration{stage.Seal: 1}}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second flight recorder: got %v, want ErrInUse", err)
	}
	f.Observe(stage.Seal, 10*time.Millisecond) // within
	f.Observe(stage.WAL, time.Hour)            // not watched
	f.Do(context.Background(), stage.Seal, func(context.Context) { _ = burn(30 * time.Millisecond) })
	f.Observe(stage.Seal, time.Second) // in the cooldown
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); !errors.Is(err, ErrStopped) {
		t.Errorf("second Close: got %v, want ErrStopped", err)
	}
	f.Observe(stage.Seal, time.Second) // after Close
	s := f.Stats()
	if s.Exceeded != 2 || s.Dumped != 1 || s.Suppressed != 1 || s.Failed != 0 {
		t.Fatalf("stats %+v, want 2 exceeded, 1 dumped, 1 suppressed", s)
	}
	b, err := os.ReadFile(s.LastFile)
	if err != nil || !strings.HasPrefix(string(b), "go 1.") || !strings.Contains(filepath.Base(s.LastFile), "-seal-") {
		t.Errorf("%s: %d bytes, %v; want an execution trace named by its stage", s.LastFile, len(b), err)
	}
}

func TestFlightOptions(t *testing.T) {
	_, err := NewFlight(FlightOptions{Bounds: map[stage.Stage]time.Duration{stage.Stage(99): time.Second, stage.Seal: -1}})
	if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "Dir") || !strings.Contains(err.Error(), "99") {
		t.Errorf("got %v, want ErrOptions naming Dir and stage 99", err)
	}
}
