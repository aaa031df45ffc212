//go:build linux && (amd64 || arm64) && !race && !purego

package shardmap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/shardmap/table"
)

type fileRig struct {
	t   *testing.T
	cfg Config
	fc  table.FileConfig
	m   *Wide
	rep table.FileReport
}

func newFileRig(t *testing.T) *fileRig {
	return &fileRig{t: t, cfg: Config{Capacity: 50}, fc: table.FileConfig{
		Path: filepath.Join(t.TempDir(), "counters"), Writer: [16]byte{1}, Dimensions: []string{"a", "b", "c"}, AnyFS: true}}
}

// open is a start: the last process is gone, whatever it was doing.
func (r *fileRig) open() *fileRig {
	r.t.Helper()
	r.kill()
	m, rep, err := OpenWide(r.cfg, r.fc, func(k *WideKey) (uint32, bool) { return uint32(k.Dimension), true })
	if err != nil {
		r.t.Fatal(err)
	}
	r.m, r.rep = m, rep
	return r
}

func (r *fileRig) kill() {
	if r.m != nil {
		_ = r.m.CloseFile() // the kernel would
		r.m = nil
	}
}

func (r *fileRig) seal(commit bool) (sum uint64) {
	r.m.Scan()
	for _, o := range r.m.Open() {
		sum += o
	}
	if commit { // first the log, then the map
		r.fc.Commit = table.FileCommit{Epoch: r.m.Epoch() + 1, FileID: r.m.FileID(), Fingerprint: r.m.Fingerprint()}
		r.m.Commit()
	}
	return sum
}

func (r *fileRig) wantOpen(want uint64) *fileRig {
	r.t.Helper()
	if got := r.seal(false); got != want || r.rep.SetAside != "" {
		r.t.Fatalf("open: got %d, want %d; %+v", got, want, r.rep)
	}
	r.m.Abort()
	return r
}

func TestFileRestarts(t *testing.T) {
	r := newFileRig(t).open()
	for i := range 20 {
		record(t, r.m, key(i), 10)
	}
	r.open().wantOpen(200).open().wantOpen(200) // before any commit; twice
	if got := r.seal(true); got != 200 {
		t.Fatal(got)
	}
	r.open().wantOpen(0)
	for i := range 20 {
		record(t, r.m, key(i), 1)
	}
	r.seal(true)
	record(t, r.m, key(3), 5)
	r.seal(false) // an attempt that did not get to its commit
	r.open().wantOpen(5)
	before := r.fc.Commit
	r.seal(true)
	log := r.fc.Commit
	record(t, r.m, key(3), 2)
	r.fc.Commit = before // the log lost its last commit: R3
	r.open()
	if r.rep.Committed <= before.Epoch || r.rep.Units.Lo != 2 {
		t.Fatalf("%+v", r.rep)
	}
	_ = log
	r.fc.Commit = before
	r.open()
	record(t, r.m, key(9), math.MaxUint64)
	record(t, r.m, key(9), math.MaxUint64)
	record(t, r.m, key(9), 7)
	if r.open(); r.rep.Units != (U128{Hi: 2, Lo: 7}) {
		t.Fatalf("%v", r.rep.Units) // 2*(2^64-1) + 7 + 2
	}
	r.cfg.Columns = 3
	r.fc.Dimensions = []string{"c", "a", "b"}
	r.open()
	if r.rep.Units != (U128{Hi: 2, Lo: 7}) || r.rep.SetAside != "" {
		t.Fatalf("%+v", r.rep)
	}
	r.m.Scan()
	r.m.NewRows(r.m.Capacity(), func(row, _ uint32, k *WideKey) {
		i := binary.BigEndian.Uint64(k.Subject[8:])
		if want := (uint8(i%3) + 1) % 3; k.Dimension != want {
			t.Errorf("key %d: dimension %d, want %d", i, k.Dimension, want)
		}
	})
	r.m.Abort()
	r.kill()
	r.fc.Dimensions = []string{"c", "a"}
	if _, _, err := OpenWide(r.cfg, r.fc, func(*WideKey) (uint32, bool) { return 0, true }); err != nil && !errors.Is(err, table.ErrConfig) {
		t.Fatal(err)
	}
}

func TestFileRefused(t *testing.T) {
	r := newFileRig(t).open()
	if _, _, err := OpenWide(r.cfg, r.fc, nil); !errors.Is(err, table.ErrFileBusy) {
		t.Fatalf("second opener: %v", err)
	}
	record(t, r.m, key(1), 4)
	r.seal(true)
	old, _ := os.ReadFile(r.fc.Path)
	record(t, r.m, key(1), 4)
	r.seal(true)
	good, _ := os.ReadFile(r.fc.Path)
	r.kill()
	for name, b := range map[string][]byte{
		"older copy": old, "empty": nil, "cut": good[:len(good)-4096], "cut in the header": good[:900],
		"header bit": append(append([]byte{}, good[:60]...), append([]byte{good[60] ^ 1}, good[61:]...)...),
	} {
		r.fc.Path = filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(r.fc.Path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if r.open(); r.rep.SetAside == "" || r.seal(false) != 0 {
			t.Errorf("%s: %+v", name, r.rep)
		}
		r.kill()
	}
	r.fc.Path = filepath.Join(t.TempDir(), "c")
	os.WriteFile(r.fc.Path, good, 0o600)
	r.fc.Writer[3] = 9 // by `benchrig adopt`: the log still knows the file
	if r.open(); !strings.Contains(r.rep.SetAside, "writer") {
		t.Errorf("an earlier writer of the log: %+v", r.rep)
	}
	r.kill()
	r.fc.AnyFS = false
	r.fc.Path = "/proc/self/x"
	if _, _, err := OpenWide(r.cfg, r.fc, nil); !errors.Is(err, table.ErrFileSystem) {
		t.Errorf("not a tmpfs: %v", err)
	}
}

// TestFileForeign: what is not this log's is refused and stays as it is, whatever it is.
func TestFileForeign(t *testing.T) {
	r := newFileRig(t).open()
	record(t, r.m, key(1), 4)
	r.seal(true)
	r.kill()
	good, err := os.ReadFile(r.fc.Path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name, want string) {
		t.Helper()
		before, _ := os.Lstat(r.fc.Path)
		m, _, err := OpenWide(r.cfg, r.fc, func(*WideKey) (uint32, bool) { return 0, true })
		if !errors.Is(err, table.ErrFileForeign) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: got %v, want ErrFileForeign and %q", name, err, want)
		}
		if err == nil {
			_ = m.CloseFile()
		}
		after, err := os.Lstat(r.fc.Path)
		if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() || before.Size() != after.Size() {
			t.Errorf("%s: the file is not as it was: %v, %v", name, after, err)
		}
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"another program's": {[]byte(strings.Repeat("somebody's work\n", 4000)), "not a counter file"},
		"a short one":       {[]byte("hello"), "not a counter file"},
		"a newer release's": {append(append([]byte{}, good[:8]...), append([]byte{9}, good[9:]...)...), "version 9"},
	} {
		r.fc.Path = filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(r.fc.Path, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(name, c.want)
	}
	r.fc.Path = filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(r.fc.Path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	commit, writer := r.fc.Commit, r.fc.Writer
	r.fc.Writer, r.fc.Commit = [16]byte{9}, table.FileCommit{}
	refused("another writer's", "belongs to writer 0100")
	r.fc.Commit = table.FileCommit{Epoch: 1, FileID: [16]byte{7}}
	refused("another log's", "belongs to writer 0100")
	r.fc.Earlier = [][16]byte{{3}, writer} // a kill between the log's change of writer and the new file
	if r.open(); r.rep.SetAside == "" || r.rep.Rows != 0 {
		t.Errorf("an earlier writer's: not set aside: %+v", r.rep)
	}
	r.kill()
	r.fc.Earlier = nil
	if err := os.WriteFile(r.fc.Path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	r.fc.Writer, r.fc.Commit = writer, commit
	if r.open(); r.rep.SetAside != "" {
		t.Errorf("its owner no longer finds it: %+v", r.rep)
	}
	r.kill()

	dir := t.TempDir()
	for name, place := range map[string]func(string) error{
		"a directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"a pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a link":      func(p string) error { return os.Symlink(filepath.Join(dir, "target"), p) },
	} {
		r.fc.Path = filepath.Join(dir, name)
		if err := place(r.fc.Path); err != nil {
			t.Fatal(err)
		}
		refused(name, "want a regular file")
		if _, err := os.Lstat(r.fc.Path + ".lock"); err == nil {
			t.Errorf("%s: a lock was left beside it", name)
		}
	}
}

// TestFileTorn spoils each word of a slot that holds units: they are reported, the others kept.
func TestFileTorn(t *testing.T) {
	for _, word := range []int{0, 1, 2, 3, 4, 7} {
		r := newFileRig(t).open()
		k := WideKey{Tenant: [16]byte{1, 8: 1}, Subject: [16]byte{1, 8: 1}, Namespace: 5, Dimension: 1}
		record(t, r.m, k, 4)
		record(t, r.m, key(1), 9)
		r.m.Scan()
		r.m.NewRows(r.m.Capacity(), func(row, _ uint32, got *WideKey) {
			if *got == k {
				table.Slot[[8]uint64](r.m.Current(), row)[word] = 0
			}
		})
		if r.open(); r.rep.BadSlots != 1 || r.rep.LostUnits.Lo != 4 || r.rep.Units.Lo != 9 {
			t.Errorf("word %d: %+v", word, r.rep)
		}
		r.kill()
	}
}

// TestFileCellsBelowTheirBase: counters only grow, so a cell that lost its count, but not what was sealed of it, is damage and no count.
func TestFileCellsBelowTheirBase(t *testing.T) {
	r := newFileRig(t).open()
	record(t, r.m, key(1), 9)
	record(t, r.m, key(2), 5)
	r.seal(true)
	record(t, r.m, key(1), 3)
	record(t, r.m, key(2), 4)
	r.kill()
	b, err := os.ReadFile(r.fc.Path)
	if err != nil {
		t.Fatal(err)
	}
	hit := 0
	for i := 0; i+8 <= len(b); i += 8 {
		if v := binary.NativeEndian.Uint64(b[i:]); i >= 32<<10 && v == 12 { // the cell of key 1; no other word is 12
			binary.NativeEndian.PutUint64(b[i:], 2)
			hit++
		}
	}
	if hit != 1 {
		t.Fatalf("%d words hold 12, want the one cell", hit)
	}
	if err := os.WriteFile(r.fc.Path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if r.open(); r.rep.BadSlots != 1 || r.rep.Units.Lo != 4 || r.rep.Units.Hi != 0 || !r.rep.LostUnits.IsZero() {
		t.Errorf("got %+v, want one bad slot and the other's 4 units", r.rep)
	}
	r.wantOpen(4)
}

// TestFileKill kills a recording process with SIGKILL, again and again, and compares with the oracle it wrote to its
// pipe: what was reported as counted is there, and no more than had been begun.
func TestFileKill(t *testing.T) {
	if path := os.Getenv("RON_ACC_KILL_CHILD"); path != "" {
		killChild(path)
		return
	}
	r := newFileRig(t)
	low, high := uint64(0), uint64(0)
	for round := range 12 {
		r.kill()
		cmd := exec.Command(os.Args[0], "-test.run", "^TestFileKill$")
		cmd.Env = append(os.Environ(), "RON_ACC_KILL_CHILD="+r.fc.Path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
			t.Skip("emulated: a child of this architecture can't be started")
		} else if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(20+7*round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		var done, begun [2]uint64
		for s := bufio.NewScanner(out); s.Scan(); {
			var w, n int
			if c, _ := fmt.Sscanf(s.Text(), "begun %d %d end", &w, &n); c == 2 {
				begun[w] = uint64(n)
			}
			if c, _ := fmt.Sscanf(s.Text(), "done %d %d end", &w, &n); c == 2 {
				done[w] = uint64(n)
			}
		}
		_ = cmd.Wait()
		low, high = low+done[0]+done[1], high+max(begun[0], done[0])+max(begun[1], done[1])
		r.open()
		got := r.rep.Units.Lo
		if got < low || got > high || r.rep.SetAside != "" || r.rep.BadSlots > 0 {
			t.Fatalf("round %d: %d units, want %d to %d; %+v", round, got, low, high, r.rep)
		}
		low, high = got, got // the oracle of the next round starts from what is there
	}
	if low == 0 {
		t.Fatal("nothing was counted")
	}
}

func killChild(path string) {
	m, _, err := OpenWide(Config{Capacity: 50}, table.FileConfig{Path: path, Writer: [16]byte{1}, Dimensions: []string{"a", "b", "c"}, AnyFS: true},
		func(k *WideKey) (uint32, bool) { return 0, true })
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	var mu sync.Mutex
	say := func(what string, w, n int) {
		mu.Lock()
		os.Stdout.WriteString(fmt.Sprintf("%s %d %d end\n", what, w, n))
		mu.Unlock()
	}
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for n := 0; ; {
				say("begun", w, n+100)
				for range 100 {
					k := key(n % 40)
					if m.Add(&k, 1) != OK {
						m.Insert(&k, 0, 1)
					}
					n++
				}
				say("done", w, n)
			}
		})
	}
	wg.Wait()
}

// TestFilesSetAsideAreKept: a second file that can't be used does not take the first one's name; beyond eight, the last name is used again.
func TestFilesSetAsideAreKept(t *testing.T) {
	r := newFileRig(t).open()
	head, err := os.ReadFile(r.fc.Path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range 10 {
		r.kill()
		damaged := fmt.Appendf(nil, "%s%d", head[:16], i)
		if err := os.WriteFile(r.fc.Path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r.open()
		if r.rep.SetAside == "" || r.rep.KeptAs == "" {
			t.Fatalf("file %d: %+v", i, r.rep)
		}
		names = append(names, strings.TrimPrefix(r.rep.KeptAs, r.fc.Path))
		if b, err := os.ReadFile(r.rep.KeptAs); err != nil || string(b) != string(damaged) {
			t.Errorf("file %d: got %q, %v", i, b, err)
		}
	}
	if got, want := strings.Join(names, " "), ".bad .bad.1 .bad.2 .bad.3 .bad.4 .bad.5 .bad.6 .bad.7 .bad.7 .bad.7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if b, err := os.ReadFile(r.fc.Path + ".bad"); err != nil || string(b) != string(head[:16])+"0" {
		t.Errorf("the first: got %q, %v", b, err)
	}
}
