package car_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/car"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o car.Options) *car.Archive {
	t.Helper()
	a, err := car.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// read returns a stream's slices from the files, without what stands twice.
func read(t testing.TB, dir string, s export.Stream) (out []canon.SealedSlice) {
	t.Helper()
	for e, err := range car.Slices(dir) {
		if err != nil {
			t.Fatal(err)
		}
		if export.StreamOf(e.Slice.Head()) != s || len(out) > 0 && e.Slice.Head().Seq <= out[len(out)-1].Head().Seq {
			continue
		}
		out = append(out, e.Slice)
	}
	if err := canon.VerifyChain(out); err != nil {
		t.Fatal(err)
	}
	return out
}

func put(t testing.TB, a *car.Archive, want export.Ack, slices ...canon.SealedSlice) {
	t.Helper()
	for i, r := range a.PutBatch(context.Background(), slices) {
		if r.Ack != want || r.Err != nil {
			t.Fatalf("slice %d: got %v, %v, want %v", i, r.Ack, r.Err, want)
		}
	}
}

func TestConformance(t *testing.T) {
	exporttest.Run(t, func(t *testing.T) *exporttest.Harness {
		dir := t.TempDir()
		a := open(t, car.Options{Dir: dir})
		var busy atomic.Int64
		var now atomic.Pointer[func(vfs.File) error]
		plain := vfs.File.Datasync
		now.Store(&plain)
		a.SetSync(func(f vfs.File) error {
			busy.Add(1)
			defer busy.Add(-1)
			return (*now.Load())(f)
		})
		return &exporttest.Harness{
			Sink:        a,
			Another:     func() exporttest.Sink { return a },
			Held:        func(s export.Stream) []canon.SealedSlice { return read(t, dir, s) },
			Unavailable: func(err error) bool { return errors.Is(err, syscall.ENOSPC) },
			Inject: func(f exporttest.Fault) func() {
				release := make(chan struct{})
				faulty := func(file vfs.File) error {
					switch f {
					case exporttest.LoseReply:
						err := file.Datasync()
						<-release
						return err
					case exporttest.Slow:
						time.Sleep(300 * time.Millisecond)
					case exporttest.Hang:
						<-release
					case exporttest.Unavailable:
						return syscall.ENOSPC
					}
					return file.Datasync()
				}
				now.Store(&faulty)
				return func() {
					now.Store(&plain)
					close(release)
					for busy.Load() > 0 {
						time.Sleep(time.Millisecond)
					}
				}
			},
		}
	})
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	chains := []*exporttest.Chain{exporttest.NewChain(exporttest.Stream("car", 0), 3), exporttest.NewChain(exporttest.Stream("car", 1), 0)}
	var all [][]canon.SealedSlice
	for _, c := range chains {
		all = append(all, append(c.Take(3), c.Gap(4, nil), c.Next()))
	}
	for i := range 5 {
		a, err := car.Open(car.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if r := a.Recovered(); r.Slices != 2*i || r.TornBytes+r.DamagedBytes != 0 {
			t.Errorf("open %d: recovered %+v", i, r)
		}
		if _, err := car.Open(car.Options{Dir: dir}); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("second open: got %v, want ErrLocked", err)
		}
		put(t, a, export.AckOK, all[0][i], all[1][i])
		put(t, a, export.AckDuplicate, all[0][0], all[1][i])
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Put(context.Background(), all[0][0]); !errors.Is(err, car.ErrClosed) {
			t.Errorf("after Close: got %v", err)
		}
	}
	for i, c := range chains {
		if got := read(t, dir, c.Stream); len(got) != 5 || !bytes.Equal(got[4].Bytes(), all[i][4].Bytes()) {
			t.Errorf("stream %d: %d slices", i, len(got))
		}
	}
}

// Cut at every byte: what was whole is kept, the rest is cut off, and the archive goes on from there.
func TestTornAtEveryByte(t *testing.T) {
	chain := exporttest.NewChain(exporttest.Stream("torn", 0), 1)
	slices := chain.Take(3)
	whole, ends := file(slices)
	for cut := 0; cut <= len(whole); cut++ {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "00000001.car"), whole[:cut])
		a, err := car.Open(car.Options{Dir: dir})
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		n, good := 0, 0
		if cut >= car.SizeHeader() {
			good = car.SizeHeader()
		}
		for _, end := range ends {
			if cut >= end {
				n, good = n+1, end
			}
		}
		if r := a.Recovered(); r.Slices != n || r.TornBytes != int64(cut-good) || r.DamagedBytes != 0 {
			t.Fatalf("cut at %d: recovered %+v, want %d slices, %d torn bytes", cut, r, n, cut-good)
		}
		put(t, a, export.AckOK, slices[n:]...)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, "00000001.car")); !bytes.Equal(got, whole) {
			t.Fatalf("cut at %d: the archive is not what it was", cut)
		}
	}
}

// Flip every bit: nothing that is not what was written is ever taken for a slice, and nothing is thrown away.
func TestEveryBitFlipped(t *testing.T) {
	slices := exporttest.NewChain(exporttest.Stream("flip", 0), 1).Take(2)
	whole, ends := file(slices)
	dir := t.TempDir()
	name := filepath.Join(dir, "00000001.car")
	for bit := 0; bit < 8*len(whole); bit += 5 { // every byte, and every bit of one byte in five; each costs syncs
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		os.Remove(name + ".damaged")
		write(t, name, b)
		a, err := car.Open(car.Options{Dir: dir})
		if err != nil {
			t.Fatalf("bit %d: %v", bit, err)
		}
		n := 0
		for n < len(ends) && bit/8 >= ends[n] {
			n++
		}
		root := bit/8 >= car.SizeHeader()-10-32 && bit/8 < car.SizeHeader()-10+1 // a root is not checked: it points elsewhere
		r := a.Recovered()
		if bit/8 >= car.SizeHeader() {
			if r.Slices != n || r.TornBytes+r.DamagedBytes == 0 {
				t.Fatalf("bit %d: recovered %+v, want %d slices and the damage", bit, r, n)
			}
		} else if !root && r.Slices != 0 {
			t.Fatalf("bit %d of the header: recovered %+v", bit, r)
		}
		if info, err := os.Stat(name + ".damaged"); r.DamagedBytes > 0 && (err != nil || info.Size() != r.DamagedBytes) {
			t.Fatalf("bit %d: damage was not kept: %v", bit, err)
		}
		put(t, a, export.AckOK, slices[r.Slices:]...)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir, exporttest.Stream("flip", 0)); len(got) != 2 {
			t.Fatalf("bit %d: %d slices after mending", bit, len(got))
		}
		for _, f := range glob(t, dir) {
			os.Remove(f)
		}
	}
}

// A length that was flipped to reach beyond the end is no torn write: what it would swallow is kept, beside what was kept before.
func TestFlippedLengthIsNoTornEnd(t *testing.T) {
	slices := exporttest.NewChain(exporttest.Stream("length", 0), 1).Take(6)
	whole, ends := file(slices)
	for at := range slices { // whose length is damaged
		dir := t.TempDir()
		name := filepath.Join(dir, "00000001.car")
		for range 2 {
			b := bytes.Clone(whole)
			start := car.SizeHeader()
			if at > 0 {
				start = ends[at-1]
			}
			b[start+1] |= 0x40 // the upper byte of two
			write(t, name, b)
			a := open(t, car.Options{Dir: dir})
			if r := a.Recovered(); r.Slices != at || r.TornBytes != 0 || r.DamagedBytes != int64(len(whole)-start) {
				t.Fatalf("length of slice %d: recovered %+v, want %d slices and %d bytes set aside", at, r, at, len(whole)-start)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for _, suffix := range []string{".damaged", ".damaged.1"} {
			if got, err := os.ReadFile(name + suffix); err != nil || !bytes.HasSuffix(whole, got[2:]) || len(got) == 0 {
				t.Fatalf("length of slice %d: %s: %v, %d bytes", at, suffix, err, len(got))
			}
		}
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	a := open(t, car.Options{Dir: dir, MaxFileBytes: 2 << 20, Monthly: true})
	c := exporttest.NewChain(exporttest.Stream("rotate", 0), 4000)
	c.Start, c.Window = 1_698_796_700, 100 // 100 s before November 2023
	all := c.Take(60)
	for i := 0; i < len(all); i += 10 {
		put(t, a, export.AckOK, all[i:i+10]...)
	}
	files := glob(t, dir)
	if len(files) < 4 {
		t.Errorf("got files %v, want the month's and several by size", files)
	}
	for i, f := range files {
		if info, _ := os.Stat(f); info.Size() > 2<<20 {
			t.Errorf("%s: %d bytes, want at most 2 MiB", f, info.Size())
		}
		n := 0
		for _, err := range car.Slices(f) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if i == 0 && n != 1 {
			t.Errorf("October's file: %d slices, want 1", n)
		}
	}
	if got := read(t, dir, c.Stream); len(got) != 60 {
		t.Errorf("got %d slices, want 60", len(got))
	}
}

// A failed sync acks nothing, is not retried on the same file, and loses nothing.
func TestFailedSync(t *testing.T) {
	dir := t.TempDir()
	a, err := car.Open(car.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	all := exporttest.NewChain(exporttest.Stream("sync", 0), 2).Take(6)
	put(t, a, export.AckOK, all[:2]...)
	fork := exporttest.NewChain(exporttest.Stream("sync", 0), 2)
	fork.Take(2)
	other := fork.Fork(9).Next()
	a.SetSync(func(vfs.File) error { return syscall.EIO })
	for _, r := range a.PutBatch(context.Background(), append(all[2:4:4], other, all[0])) {
		if !errors.Is(r.Err, syscall.EIO) || errors.Is(r.Err, export.ErrConflict) {
			t.Errorf("got %v, %v, want EIO", r.Ack, r.Err)
		}
	}
	if seq, _, ok, err := a.Tip(context.Background(), export.StreamOf(all[0].Head())); seq != 1 || !ok || err != nil {
		t.Errorf("tip: got %d, %v, %v, want 1", seq, ok, err)
	}
	a.SetSync(vfs.File.Datasync)
	put(t, a, export.AckOK, all[2:]...)
	if n := len(glob(t, dir)); n != 2 {
		t.Errorf("got %d files, want a second one", n)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, export.StreamOf(all[0].Head())); len(got) != 6 {
		t.Errorf("got %d slices, want 6", len(got))
	}
	// The failed sections survived after all: they stand twice, and that is no damage.
	first, err := os.OpenFile(filepath.Join(dir, "00000001.car"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	first.Write(car.AppendSection(car.AppendSection(nil, all[2]), all[3]))
	first.Close()
	if r := open(t, car.Options{Dir: dir}).Recovered(); r.Duplicates != 2 || r.Slices != 6 {
		t.Errorf("recovered %+v, want 6 slices and 2 duplicates", r)
	}
}

func TestBrokenChainIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := exporttest.NewChain(exporttest.Stream("broken", 0), 1).Take(3)
	b, _ := file([]canon.SealedSlice{s[0], s[2]})
	write(t, filepath.Join(dir, "00000001.car"), b)
	for range 2 {
		if _, err := car.Open(car.Options{Dir: dir}); !errors.Is(err, car.ErrDamaged) {
			t.Errorf("got %v, want ErrDamaged", err)
		}
	}
	if _, err := car.Open(car.Options{Dir: dir, MaxFileBytes: 5}); err == nil {
		t.Error("took a file size of 5")
	}
}

func FuzzRead(f *testing.F) {
	b, _ := file(exporttest.NewChain(exporttest.Stream("fuzz", 0), 2).Take(2))
	f.Add(b)
	f.Add(b[:70])
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := car.ReadAll(b); err == nil && n == 0 && len(b) != car.SizeHeader() {
			t.Errorf("took %d bytes for an empty archive", len(b))
		}
	})
}

// file returns an archive of slices and where each section ends.
func file(slices []canon.SealedSlice) (b []byte, ends []int) {
	b = car.AppendHeader(nil, slices[0].Digest())
	for _, s := range slices {
		b = car.AppendSection(b, s)
		ends = append(ends, len(b))
	}
	return b, ends
}

func write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func glob(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.car"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
