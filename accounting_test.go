package accounting_test

import (
	"context"
	"errors"
	"math"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	accounting "github.com/ron-accounting/ron-accounting"
	"github.com/ron-accounting/ron-accounting/canon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is a sink that keeps every slice.
type collector struct {
	mu     sync.Mutex
	slices []accounting.SealedSlice
}

func (c *collector) Put(_ context.Context, s accounting.SealedSlice) (accounting.Ack, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slices = append(c.slices, s.Clone())
	return accounting.AckOK, nil
}

func key(tenant, subject uint64, d accounting.Dimension) accounting.Key {
	return accounting.Key{Tenant: accounting.IDFromUint64(tenant), Subject: accounting.IDFromUint64(subject), Namespace: 1, Dimension: d}
}

func newRecorder(t *testing.T, o accounting.Options) *accounting.Recorder {
	t.Helper()
	r, err := accounting.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// totals adds up slices per key with code that shares nothing with the sealer.
func totals(t *testing.T, slices []accounting.SealedSlice) map[accounting.Key]*big.Int {
	t.Helper()
	out := map[accounting.Key]*big.Int{}
	dims := map[string]accounting.Dimension{"bytes": 0, "requests": 1, "cpu": 2}
	for _, s := range slices {
		d, err := canon.Decode(s.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		h := d.Head()
		for _, row := range d.Rows() {
			k := accounting.Key{Tenant: h.Tenant, Subject: row.Subject, Namespace: row.Namespace, Dimension: dims[h.Dimension]}
			if out[k] == nil {
				out[k] = new(big.Int)
			}
			out[k].Add(out[k], new(big.Int).SetUint64(row.Inc))
		}
	}
	return out
}

func TestNewSealNow(t *testing.T) {
	r := newRecorder(t, accounting.Options{})
	for i := range uint64(10) {
		if err := r.Record(key(1, i, accounting.Bytes), i+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Record(key(2, 1, accounting.CPU), 7); err != nil {
		t.Fatal(err)
	}
	first, err := r.SealNow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 2 {
		t.Fatalf("%d slices, want one a stream: 2", len(first))
	}
	if err := r.Record(key(1, 3, accounting.Bytes), 100); err != nil {
		t.Fatal(err)
	}
	second, err := r.SealNow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all := append(first, second...)
	got := totals(t, all)
	if v := got[key(1, 3, accounting.Bytes)]; v.Int64() != 104 {
		t.Errorf("key 3: got %v, want 104", v)
	}
	if err := canon.VerifyChain([]accounting.SealedSlice{first[0], second[0]}); err != nil {
		t.Error(err)
	}
	u := r.Stats().Units["bytes"]
	if u.Recorded != 155 || u.Acked != 155 || u.Open != 0 || u.Imbalance().Sign() != 0 {
		t.Errorf("units: %+v", u)
	}
	if s, err := r.SealNow(context.Background()); err != nil || len(s) != 0 {
		t.Errorf("nothing open: got %d slices, %v", len(s), err)
	}
}

func TestSaturation(t *testing.T) {
	r := newRecorder(t, accounting.Options{})
	k := key(1, 1, accounting.Bytes)
	for range 2 {
		if err := r.Record(k, math.MaxUint64); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Record(k, 1); err != nil {
		t.Fatal(err)
	}
	u := r.Stats().Units["bytes"]
	if u.Imbalance().Sign() != 0 {
		t.Errorf("imbalance before the seal: %+v", u)
	}
	s, err := r.SealNow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if v := totals(t, s)[k]; !v.IsUint64() || v.Uint64() != math.MaxUint64 {
		t.Errorf("got %v, want 2^64-1", v)
	}
	u = r.Stats().Units["bytes"]
	want := new(big.Int).SetUint64(math.MaxUint64) // of 2*(2^64-1)+1, 2^64-1 are sealed and 2^64 are the excess
	want.Add(want, big.NewInt(1))
	if u.Big("saturated").Cmp(want) != 0 || u.Imbalance().Sign() != 0 {
		t.Errorf("saturated %v, want %v; imbalance %v", u.Big("saturated"), want, u.Imbalance())
	}
	if err := r.Record(k, 5); err != nil {
		t.Fatal(err)
	}
	if s, _ = r.SealNow(context.Background()); totals(t, s)[k].Int64() != 5 {
		t.Errorf("after saturation: got %v, want 5", totals(t, s)[k])
	}
}

func TestRefusals(t *testing.T) {
	r := newRecorder(t, accounting.Options{CapacityRows: 10, MaxStreams: 2})
	if err := r.Record(key(1, 1, 3), 1); !errors.Is(err, accounting.ErrSchema) {
		t.Errorf("unknown dimension: got %v, want ErrSchema", err)
	}
	if err := r.Record(key(1, 1, accounting.Bytes), 0); err != nil {
		t.Errorf("0 units: got %v, want nil", err)
	}
	if n := r.Stats().Rows; n != 0 {
		t.Errorf("0 units made %d rows", n)
	}
	for i := range uint64(10) {
		if err := r.Record(key(1, i, accounting.Bytes), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Record(key(1, 10, accounting.Bytes), 5); !errors.Is(err, accounting.ErrBusy) {
		t.Errorf("beyond capacity: got %v, want ErrBusy", err)
	}
	if err := r.Record(key(1, 3, accounting.Bytes), 5); err != nil {
		t.Errorf("an existing key at capacity: %v", err)
	}
	u := r.Stats().Units["bytes"]
	if u.Rejected != 5 || u.Recorded != 15 {
		t.Errorf("units: %+v", u)
	}

	s := newRecorder(t, accounting.Options{MaxStreams: 1})
	if err := s.Record(key(1, 1, accounting.Bytes), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(key(2, 1, accounting.Bytes), 9); !errors.Is(err, accounting.ErrBusy) {
		t.Errorf("beyond MaxStreams: got %v, want ErrBusy", err)
	}
	if u := s.Stats().Units["bytes"]; u.Rejected != 9 {
		t.Errorf("units: %+v", u)
	}
	if _, err := s.SealNow(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(key(1, 1, accounting.Bytes), 1); !errors.Is(err, accounting.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	if err := s.Close(context.Background()); !errors.Is(err, accounting.ErrClosed) {
		t.Errorf("second Close: got %v, want ErrClosed", err)
	}
}

func TestOptionFaultsAllAtOnce(t *testing.T) {
	_, err := accounting.Open(accounting.Options{
		Window: 7 * time.Second, Shards: 3, CapacityRows: -1, Dimensions: []string{"Bad", "bytes"}, Weights: map[accounting.ID]uint8{{}: 9}, CounterFile: "x",
		OpDeadline: 1, Backoff: accounting.BackoffOptions{Base: time.Hour},
	})
	for _, want := range []string{"Window", "Shards", "CapacityRows", "Dimensions[0]", "Dimensions[1]", "Weights[", "CounterFile", "Sinks", "OpDeadline", "Backoff"} {
		if err == nil || !strings.Contains(err.Error(), "Options."+want) {
			t.Errorf("no fault named for %s in:\n%v", want, err)
		}
	}
	var oe *accounting.OptionError
	if !errors.As(err, &oe) {
		t.Error("faults are not *OptionError")
	}
}

// TestNilContext: no deadline, and no panic of the host.
func TestNilContext(t *testing.T) {
	r, err := accounting.Open(accounting.Options{Sinks: []accounting.Sink{{Name: "mem", Exporter: &collector{}}}})
	if err != nil {
		t.Fatal(err)
	}
	var none context.Context
	if err := r.Record(accounting.Key{}, 1); err != nil {
		t.Fatal(err)
	}
	_, err = r.SealNow(none)
	if err := errors.Join(err, r.Flush(none), r.Close(none)); err != nil {
		t.Error(err)
	}
}

func TestOpenExportsEverything(t *testing.T) {
	sink := &collector{}
	r, err := accounting.Open(accounting.Options{
		Window: time.Second, AllowShortWindow: true, Sinks: []accounting.Sink{{Name: "mem", Exporter: sink, Required: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const workers, each, keys = 4, 20_000, 500
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			c, err := r.Counter(key(9, uint64(w), accounting.Requests))
			if err != nil {
				t.Error(err)
				return
			}
			for i := range uint64(each) {
				if err := r.Record(key(i%7, i%keys, accounting.Bytes), i); err != nil {
					t.Error(err)
				}
				c.Add(1)
			}
		})
	}
	wg.Wait()
	if err := r.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	u := r.Stats().Units
	if u["bytes"].Acked != u["bytes"].Recorded || u["bytes"].Recorded != workers*each*(each-1)/2 || u["requests"].Acked != workers*each {
		t.Errorf("units: %+v", u)
	}
	reg := prometheus.NewRegistry()
	if err := reg.Register(r.Collector()); err != nil {
		t.Error(err)
	}
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
	if rd := r.Readiness(); !rd.Ready {
		t.Errorf("readiness: %+v", rd)
	}
	c, _ := r.Counter(key(9, 0, accounting.Requests))
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.Add(3)
	if u := r.Stats().Units["requests"]; u.Rejected != 3 {
		t.Errorf("Add after Close: %+v", u)
	}
	var sum big.Int
	for k, v := range totals(t, sink.slices) {
		if k.Dimension == accounting.Bytes {
			sum.Add(&sum, v)
		}
	}
	if sum.Uint64() != workers*each*(each-1)/2 {
		t.Errorf("the sink holds %v", &sum)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	r := newRecorder(t, accounting.Options{})
	k := key(1, 1, accounting.Bytes)
	if err := r.Record(k, 1); err != nil {
		t.Fatal(err)
	}
	c, err := r.Counter(k)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = r.Record(k, 1); c.Add(1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
