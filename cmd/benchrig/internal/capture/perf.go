package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNoPerf: the machine has no perf, or its kernel lets nobody use it.
var ErrNoPerf = errors.New("perf can't be used here")

// Perf runs this program with args twice: under perf stat, then under perf record with call graphs. Where the machine has no
// hardware counters both fall back to the cpu-clock timer, and say so. The files are perf-stat.txt, perf.data and perf-script.txt
// (for other tools) in dir; stdout and stderr are the program's.
func Perf(ctx context.Context, dir string, args []string, stdout, stderr io.Writer) (written []string, err error) {
	perf, err := exec.LookPath("perf")
	if err != nil {
		return nil, fmt.Errorf("%w: no perf in PATH (on Debian: apt-get install linux-perf); capture cpu needs none", ErrNoPerf)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, perf, "stat", "-e", "cpu-clock", "true").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s (see /proc/sys/kernel/perf_event_paranoid); capture cpu needs no permission", ErrNoPerf, firstLine(out))
	}
	stat, data, script := filepath.Join(dir, "perf-stat.txt"), filepath.Join(dir, "perf.data"), filepath.Join(dir, "perf-script.txt")
	counters := hasCounters(ctx, perf)
	event, count := "cycles", []string{"-d", "-d", "-d"}
	if !counters {
		fmt.Fprintln(stderr, "capture: this machine offers no hardware counters (a virtual machine, most likely): falling back to cpu-clock")
		event, count = "cpu-clock", []string{"-e", "cpu-clock,task-clock,context-switches,cpu-migrations,page-faults"}
	}
	run := func(wrap ...string) error {
		c := exec.CommandContext(ctx, perf, append(append(wrap, "--", self), args...)...)
		c.Stdout, c.Stderr = stdout, stderr
		return c.Run()
	}
	if err := run(append([]string{"stat", "-o", stat}, count...)...); ran(err) != nil {
		return nil, fmt.Errorf("perf stat: %w", err)
	}
	if err := run("record", "-q", "-g", "-F", "499", "-e", event, "-o", data); ran(err) != nil {
		return []string{stat}, fmt.Errorf("perf record: %w", err)
	}
	if !counters {
		if err := appendLine(stat, "no hardware counters on this machine: cpu-clock in their place"); err != nil {
			return nil, err
		}
	}
	out, err := os.Create(script)
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, perf, "script", "-i", data)
	c.Stdout, c.Stderr = out, io.Discard
	return []string{stat, data, script}, errors.Join(c.Run(), out.Close())
}

// ran lets through that the program under perf missed a service level (exit 4): the capture is whole.
func ran(err error) error {
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 4 {
		return nil
	}
	return err
}

// hasCounters reports whether cycles can be counted.
func hasCounters(ctx context.Context, perf string) bool {
	out, err := exec.CommandContext(ctx, perf, "stat", "-x", ",", "-e", "cycles", "true").CombinedOutput()
	return err == nil && !strings.Contains(string(out), "not supported") && !strings.Contains(string(out), "not counted")
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}
