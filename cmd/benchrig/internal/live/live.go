// Package live shows a run while it goes on: on a terminal a few lines that redraw themselves, elsewhere one plain line a second.
package live

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/rig"
)

// Progress writes to one stream. Not safe for concurrent use.
type Progress struct {
	w     io.Writer
	tty   bool
	color bool
	width func() int // of the terminal, in columns
	lines int        // drawn and not yet overwritten
	rates []float64
}

// New returns a progress on w. It redraws where w is a terminal that can, and colours unless NO_COLOR is set.
func New(w io.Writer) *Progress {
	tty := Terminal(w) && os.Getenv("TERM") != "dumb"
	return &Progress{w: w, tty: tty, color: tty && os.Getenv("NO_COLOR") == "", width: func() int {
		if f, ok := w.(*os.File); ok {
			if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
				return columns
			}
		}
		return 80
	}}
}

// Terminal reports whether w is one.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colored reports whether w takes colours: a terminal, and NO_COLOR is not set.
func Colored(w io.Writer) bool {
	return Terminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// Phase says what the run does now.
func (p *Progress) Phase(text string) {
	if p.tty {
		p.clear()
		p.draw([]string{p.paint("2", text+" …")})
		return
	}
	fmt.Fprintln(p.w, text)
}

// Say writes a line that stays.
func (p *Progress) Say(text string) {
	p.Done()
	fmt.Fprintln(p.w, text)
}

// Tick shows one second.
func (p *Progress) Tick(v rig.View) {
	state := "ready"
	if !v.Ready {
		state = "DEGRADED"
	}
	if !p.tty {
		fmt.Fprintf(p.w, "%s %4.0fs/%.0fs  %s rows/s  record %.0f ns  lag p99 %.0f µs  pending %.0f  export p99 %.1f ms  rss %.0f MiB  cpu %.0f%%  %s\n",
			v.Workload, v.T, v.Length.Seconds(), result.Count(v.Rate), v.RecordNS, v.LagP99US, v.Pending, v.ExportMS, v.RSSMiB, v.CPU, state)
		return
	}
	p.rates = append(p.rates[max(0, len(p.rates)-sparks+1):], v.Rate)
	if !v.Ready {
		state = p.paint("31", state)
	} else {
		state = p.paint("32", state)
	}
	p.clear()
	p.draw([]string{
		fmt.Sprintf("%s %s %s of %s  %s", p.paint("1", strings.ToUpper(v.Workload)), bar(v.T/v.Length.Seconds(), 30), clock(v.T), clock(v.Length.Seconds()), state),
		fmt.Sprintf("  rate    %8s rows/s %s  %s rows", result.Count(v.Rate), spark(p.rates), result.Count(float64(v.Rows))),
		fmt.Sprintf("  record  %8.1f ns      p99 %.1f ns  max %.0f ns   started late p99 %.0f µs", v.Record.Mean, v.Record.P99, v.Record.Max, v.LagP99US),
		fmt.Sprintf("  export  %8.1f ms p99  pending %.0f slices  in lanes %.0f", v.ExportMS, v.Pending, v.Backlog),
		fmt.Sprintf("  cost    %8.0f %% core  rss %.0f MiB  WAL %.1f MiB", v.CPU, v.RSSMiB, v.WALMiB),
	})
}

// Done removes the live view, so that the summary stands alone.
func (p *Progress) Done() {
	if p.tty {
		p.clear()
	}
}

// clear moves to the first drawn line and erases from there.
func (p *Progress) clear() {
	if p.lines > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.lines)
		p.lines = 0
	}
}

// draw writes the lines, each cut to the terminal's width: one that wrapped would be two to erase.
func (p *Progress) draw(lines []string) {
	width := p.width()
	for _, l := range lines {
		fmt.Fprintf(p.w, "\x1b[2K%s\n", cut(l, width))
	}
	p.lines = len(lines)
}

func (p *Progress) paint(code, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func bar(share float64, width int) string {
	full := int(min(1, max(0, share)) * float64(width))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

// cut keeps the first columns of a line; a colour that was begun ends with it.
func cut(line string, columns int) string {
	at, colored := 0, false
	for i := 0; i < len(line); {
		if seq := escape.FindString(line[i:]); seq != "" {
			colored = seq != "\x1b[0m"
			i += len(seq)
			continue
		}
		if at++; at > columns {
			if colored {
				return line[:i] + "\x1b[0m"
			}
			return line[:i]
		}
		_, size := utf8.DecodeRuneInString(line[i:])
		i += size
	}
	return line
}

var escape = regexp.MustCompile("^\x1b\\[[0-9;]*m")

// sparks is how many seconds the spark line shows.
const sparks = 30

// spark draws the values, the highest as a full block.
func spark(values []float64) string {
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	for _, v := range values {
		i := 0
		if top > 0 {
			i = int(v / top * 7)
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[i])
	}
	return b.String()
}

func clock(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
