package jetstream_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
	"github.com/ron-accounting/ron-accounting/pipeline/wal"
)

// A fleet: three processes meter the same tenants through a cluster of three brokers into one ledger. One process is killed without warning and
// started again, one broker is lost and comes back. The ledger must hold what the processes' own notes say, to the unit.

const (
	fleetTenants = 20
	fleetDims    = 3
	fleetKeys    = fleetTenants * fleetDims
	fleetEnv     = "RON_ACC_TEST_FLEET_WRITER" // DIR SHM URLS: this process is a writer
)

// tally is a writer's own account of what it counted, in a mapping that outlives it: for each key the units begun and
// those that Record has answered. What lies between is counted or not; only a killed process leaves any.
type tally []byte

func openTally(path string) (tally, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(16 * fleetKeys); err != nil {
		return nil, err
	}
	return syscall.Mmap(int(f.Fd()), 0, 16*fleetKeys, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func (t tally) begun(k int) uint64    { return binary.NativeEndian.Uint64(t[16*k:]) }
func (t tally) answered(k int) uint64 { return binary.NativeEndian.Uint64(t[16*k+8:]) }

func (t tally) count(r *accounting.Recorder, k int, n uint64) error {
	binary.NativeEndian.PutUint64(t[16*k:], t.begun(k)+n)
	key := accounting.Key{Tenant: accounting.IDFromUint64(uint64(k / fleetDims)), Subject: accounting.IDFromUint64(7), Dimension: accounting.Dimension(k % fleetDims)}
	if err := r.Record(key, n); err != nil {
		return err
	}
	binary.NativeEndian.PutUint64(t[16*k+8:], t.answered(k)+n)
	return nil
}

func TestMain(m *testing.M) {
	if args := os.Getenv(fleetEnv); args != "" {
		if err := fleetWriter(strings.Fields(args)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fleetWriter records until its standard input ends, then drains and leaves.
func fleetWriter(args []string) error {
	dir, shm, urls := args[0], args[1], args[2]
	t, err := openTally(filepath.Join(dir, "tally"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	sink, err := jetstream.Connect(ctx, urls, jetstream.Options{Replicas: 3})
	if err != nil {
		return err
	}
	defer sink.Close()
	r, err := accounting.Open(accounting.Options{
		Profile: accounting.Macronode, Window: time.Second, AllowShortWindow: true, CapacityRows: 4 * fleetKeys, DrainDeadline: time.Minute,
		WAL: &wal.Options{Dir: filepath.Join(dir, "wal")}, CounterFile: filepath.Join(shm, "counters"),
		Sinks: []accounting.Sink{{Name: "jetstream", Exporter: sink, Required: true}},
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	fmt.Println("recording")
	for i := uint64(1); ; i++ {
		for k := range fleetKeys {
			if err := t.count(r, k, i%1000+1); err != nil {
				return err
			}
		}
		select {
		case <-ended:
			if err := r.Flush(ctx); err != nil {
				return err
			}
			return r.Close(ctx)
		case <-time.After(200 * time.Microsecond):
		}
	}
}

// member is one writer process and what it leaves behind.
type member struct {
	t        testing.TB
	dir, shm string
	urls     string
	cmd      *exec.Cmd
	stdin    io.Closer
}

func (w *member) start() {
	w.cmd = exec.Command(os.Args[0])
	w.cmd.Env = append(os.Environ(), fleetEnv+"="+strings.Join([]string{w.dir, w.shm, w.urls}, " "))
	w.cmd.Stderr = os.Stderr
	in, err := w.cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.stdin = in
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "recording\n" {
		w.t.Fatalf("writer: got %q, %v", line, err)
	}
}

// kill ends the process as a crash does.
func (w *member) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

// finish lets the process drain and leave.
func (w *member) finish() {
	_ = w.stdin.Close()
	if err := w.cmd.Wait(); err != nil {
		w.t.Errorf("writer: %v", err)
	}
}

func TestFleet(t *testing.T) {
	if os.Getenv("BENCHRIG_LONG") == "" {
		t.Skip("BENCHRIG_LONG=1 runs the fleet")
	}
	c := startCluster(t)
	members := make([]*member, 3)
	for i := range members {
		shm, err := os.MkdirTemp("/dev/shm", "ron-fleet-")
		if err != nil {
			t.Skipf("no tmpfs for counter files: %v", err)
		}
		t.Cleanup(func() { os.RemoveAll(shm) })
		members[i] = &member{t: t, dir: t.TempDir(), shm: shm, urls: c.urls}
		members[i].start()
		t.Cleanup(members[i].kill)
	}
	path := filepath.Join(t.TempDir(), "ledger")
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	following, stop := context.WithCancel(context.Background())
	var follower sync.WaitGroup
	follower.Go(func() {
		_, _ = jetstream.Follow(following, c.urls, jetstream.Options{}, l, jetstream.FollowOptions{})
	})
	time.Sleep(2 * time.Second)
	members[0].kill()
	time.Sleep(500 * time.Millisecond)
	c.stop(1)
	members[0].start() // while a broker is away
	time.Sleep(2 * time.Second)
	c.start(1)
	time.Sleep(2 * time.Second)
	for _, w := range members {
		w.finish()
	}
	stop()
	follower.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	st, err := jetstream.Follow(ctx, c.urls, jetstream.Options{}, l, jetstream.FollowOptions{Once: true})
	if err != nil {
		t.Fatalf("follow: %+v, %v", st, err)
	}
	compareFleet(t, l, members)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if rep, err := ledger.Verify(context.Background(), path); err != nil || len(rep.Breaks) > 0 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
}

// compareFleet holds the ledger's sums against the writers' own notes, key by key.
func compareFleet(t *testing.T, l *ledger.Ledger, members []*member) {
	rows, err := l.Usage(context.Background(), ledger.Query{Group: ledger.ByTenant})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*big.Int{}
	for _, r := range rows {
		got[r.Tenant.String()+r.Dimension] = r.Units
	}
	least, most := make([]uint64, fleetKeys), make([]uint64, fleetKeys)
	for i, w := range members {
		y, err := openTally(filepath.Join(w.dir, "tally"))
		if err != nil {
			t.Fatal(err)
		}
		for k := range fleetKeys {
			least[k] += y.answered(k)
			most[k] += y.begun(k)
			if y.begun(k) != y.answered(k) && i != 0 {
				t.Errorf("writer %d was not killed and left a call open", i)
			}
		}
	}
	var sum uint64
	for k := range fleetKeys {
		name := accounting.IDFromUint64(uint64(k/fleetDims)).String() + []string{"bytes", "requests", "cpu"}[k%fleetDims]
		u := got[name]
		if u == nil || !u.IsUint64() || u.Uint64() < least[k] || u.Uint64() > most[k] {
			t.Errorf("%s: the ledger has %v, the writers counted %d to %d", name, u, least[k], most[k])
			continue
		}
		sum += u.Uint64()
	}
	t.Logf("%d units of %d keys in the ledger, %d streams", sum, fleetKeys, l.Totals().Streams)
}
