package crash

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

// Options say how often and where.
type Options struct {
	Iterations int
	PowerCut   bool
	Dir        string                        // for the ledger and the WAL; "": a temporary directory
	Shared     string                        // a tmpfs for counters and oracle; "": /dev/shm
	Seed       uint64                        // of the moments
	Command    func(c *Child) *exec.Cmd      // runs a child
	Progress   func(done int, r *Result)     // after each kill; may be nil
	Note       func(format string, a ...any) // for people; may be nil

	bend func(least, most []uint64) // tests: what the oracle says before it is believed
}

// Result is what was found. Unit totals are decimal strings.
type Result struct {
	Schema      int      `json:"schema"`
	Iterations  int      `json:"iterations"`
	Seed        uint64   `json:"seed"`
	CounterFile bool     `json:"counter_file"`
	PowerCuts   int      `json:"power_cuts"`
	InRecovery  int      `json:"kills_before_recovered"`
	AtCalls     int      `json:"kills_at_file_system_calls"`
	FoundOpen   int      `json:"lives_that_found_open_units"` // with power cuts: in a checkpoint
	Epoch       uint64   `json:"epochs"`
	Slices      int      `json:"slices"`
	Streams     int      `json:"streams"`
	Keys        int      `json:"keys"`
	Least       string   `json:"counted_least"`
	Most        string   `json:"counted_most"`
	AtKill      Proof    `json:"at_last_kill"`
	Drained     Proof    `json:"drained"`
	DurationS   float64  `json:"duration_s"`
	Skipped     string   `json:"skipped,omitempty"`
	Notes       []string `json:"notes,omitempty"`
	Pass        bool     `json:"pass"`
}

// Proof compares what is stored with what was counted, key by key.
type Proof struct {
	Found    string   `json:"found"`
	Lost     string   `json:"lost"`
	Double   string   `json:"double"`
	Open     int      `json:"open_keys"`
	Pending  int      `json:"pending_slices"`
	Gaps     int      `json:"gaps"`
	Breaks   []string `json:"order"`
	Examples []string `json:"examples,omitempty"`
}

// ErrSkipped: the machine does not allow it; Result.Skipped says why.
var ErrSkipped = errors.New("crash: skipped")

// run is the state of one Run.
type run struct {
	o           Options
	random      *rand.Rand
	dir, shared string
	wal         string
	oracle      *oracle
	least, most []uint64
	disk        *disk // with power cuts
	res         *Result
}

// Run kills o.Iterations children and proves what is left.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	start := time.Now()
	r := &run{o: o, random: rand.New(rand.NewPCG(o.Seed, 0)), res: &Result{Schema: 1, Seed: o.Seed}}
	undo, err := r.prepare()
	defer func() { err = errors.Join(err, undo()) }()
	if err != nil {
		return r.res, err
	}
	for i := range o.Iterations {
		if err := ctx.Err(); err != nil {
			break // what was done so far is proved
		}
		if err := r.life(ctx, i); err != nil {
			return r.res, fmt.Errorf("life %d: %w", i, err)
		}
		r.res.Iterations++
		if o.Progress != nil {
			o.Progress(i+1, r.res)
		}
	}
	if o.bend != nil {
		o.bend(r.least, r.most)
	}
	if err := r.prove(); err != nil {
		return r.res, err
	}
	r.res.DurationS = time.Since(start).Seconds()
	return r.res, nil
}

// prepare makes the places; undo removes what is temporary.
func (r *run) prepare() (undo func() error, err error) {
	var undos []func() error
	undo = func() (err error) {
		for i := len(undos) - 1; i >= 0; i-- {
			err = errors.Join(err, undos[i]())
		}
		return err
	}
	if r.dir = r.o.Dir; r.dir == "" {
		if r.dir, err = os.MkdirTemp("", "benchrig-crash-"); err != nil {
			return undo, err
		}
		undos = append(undos, func() error { return os.RemoveAll(r.dir) })
	} else if err = os.MkdirAll(r.dir, 0o700); err != nil {
		return undo, err
	}
	if _, err := os.Stat(filepath.Join(r.dir, "ledger.db")); err == nil {
		return undo, fmt.Errorf("%s holds an earlier run's ledger: want an empty directory", r.dir)
	}
	book, err := ledger.Open(filepath.Join(r.dir, "ledger.db"), ledger.Options{}) // so that there is one, however early the kills come
	if err == nil {
		err = book.Close()
	}
	if err != nil {
		return undo, err
	}
	base := r.o.Shared
	if base == "" {
		base = "/dev/shm"
	}
	if r.shared, err = os.MkdirTemp(base, "benchrig-crash-"); err == nil {
		undos = append(undos, func() error { return os.RemoveAll(r.shared) })
		r.res.CounterFile = true
	} else if r.o.Shared != "" {
		return undo, err
	} else {
		r.note("no counter file: %v; what is open at a kill is lost and not counted against the recorder", err)
	}
	r.wal = filepath.Join(r.dir, "wal")
	if r.o.PowerCut {
		if r.disk, err = newDisk(r.dir); err != nil {
			r.res.Skipped = err.Error()
			return undo, fmt.Errorf("%w: power cut: %w", ErrSkipped, err)
		}
		undos = append(undos, r.disk.remove)
		r.wal = filepath.Join(r.disk.mount, "wal")
	}
	s := spec()
	if r.oracle, err = openOracle(oraclePath(r.dir), producers, s.Total()); err != nil {
		return undo, err
	}
	undos = append(undos, r.oracle.close)
	r.least, r.most = make([]uint64, s.Total()), make([]uint64, s.Total())
	return undo, nil
}

func (r *run) note(format string, args ...any) {
	r.res.Notes = append(r.res.Notes, fmt.Sprintf(format, args...))
	if r.o.Note != nil {
		r.o.Note(format, args...)
	}
}

func (r *run) child() *Child {
	c := &Child{Dir: r.dir, WAL: r.wal, Seed: r.random.Uint64()}
	if r.disk != nil {
		c.Every = checkpointEvery
	}
	if r.res.CounterFile {
		c.Counters = filepath.Join(r.shared, "counters")
	}
	return c
}

// checkpointEvery is short, so that a life of a tenth of a second has one.
const checkpointEvery = 100 * time.Millisecond

// life starts a child, ends it at a random moment, and folds what it has counted into the bounds.
func (r *run) life(ctx context.Context, i int) error {
	c := r.child()
	how := r.random.IntN(10)
	if how < 3 {
		c.DieAt = 1 + r.random.IntN(160)
	}
	p, err := r.start(c)
	if err != nil {
		return err
	}
	recovered, cut := false, false
	wait := time.Duration(r.random.IntN(int(60 * time.Millisecond))) // mostly before it has recovered
	if how > 4 || c.DieAt > 0 {
		recovered = p.wait(ctx, 10*time.Second)
		wait = time.Duration(r.random.IntN(int(120*time.Millisecond + 2*c.Every)))
	}
	select {
	case <-p.done:
	case <-time.After(wait):
	}
	if r.disk != nil && r.random.IntN(2) == 0 { // the power goes under the running child; else it is killed first, and then the power goes
		cut = true
		if err := errors.Join(freeze(p.cmd.Process.Pid), r.disk.cut()); err != nil {
			p.kill()
			return err
		}
	}
	killed := p.kill()
	if !killed {
		return fmt.Errorf("the child ended by itself: %w\n%s", p.err, p.stderr.String())
	}
	if c.DieAt > 0 && p.died {
		r.res.AtCalls++
	}
	if !recovered && !p.recovered() {
		r.res.InRecovery++
	} else if p.open > 0 {
		r.res.FoundOpen++
	}
	column := returned
	if !r.res.CounterFile {
		column = sealed
	}
	if r.disk != nil {
		r.res.PowerCuts++
		column = sealed
		if !cut {
			if err := r.disk.cut(); err != nil {
				return err
			}
		}
		if r.res.CounterFile {
			if err := os.RemoveAll(filepath.Join(r.shared, "counters")); err != nil {
				return err
			}
		}
		if err := r.disk.restart(); err != nil {
			return err
		}
	}
	r.oracle.fold(r.least, r.most, column)
	return nil
}

// process is a running child.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ready  chan struct{}
	done   chan struct{}
	err    error
	open   uint64 // units, once ready
	died   bool   // by SIGKILL, before kill was called
}

func (r *run) start(c *Child) (*process, error) {
	p := &process{cmd: r.o.Command(c), ready: make(chan struct{}), done: make(chan struct{})}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		if line, err := bufio.NewReader(out).ReadString('\n'); err == nil {
			if n, err := fmt.Sscanf(line, Ready+" %d\n", &p.open); err == nil && n == 1 {
				close(p.ready)
			}
		}
		_, _ = io.Copy(io.Discard, out)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// wait waits until the child has recovered, and says whether it has.
func (p *process) wait(ctx context.Context, most time.Duration) bool {
	select {
	case <-p.ready:
		return true
	case <-p.done:
	case <-ctx.Done():
	case <-time.After(most):
	}
	return false
}

func (p *process) recovered() bool {
	select {
	case <-p.ready:
		return true
	default:
		return false
	}
}

// kill ends the child and reports whether it was killed, and did not end by itself.
func (p *process) kill() bool {
	select {
	case <-p.done:
		p.died = true
	default:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	st, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && st.Signaled() && st.Signal() == syscall.SIGKILL
}
