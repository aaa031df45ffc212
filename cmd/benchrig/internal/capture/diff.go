package capture

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/ron-accounting/ron-accounting/pprof"
)

// ErrDiff: two captures that can't be compared; it says why.
var ErrDiff = errors.New("nothing to compare")

// Change is what one kind of profile shows from an earlier capture to a later one.
type Change struct {
	Name     string // workload and kind; "" for two files
	Graph    *pprof.Graph
	Absolute bool // values are compared, not shares of the total
}

// Diff compares two captures: two profiles, two directories of one workload each (with capture.json), or two directories of such directories, in
// which workloads of the same name are compared. It writes a page of the differences' flame graphs and each as an SVG and as folded stacks
// below out. The earlier profile is scaled to the later one's total, as runs differ in length, unless absolute is set or the profile is a state (heap, goroutine). notes say what a reader should know.
func Diff(old, new, out string, absolute bool) (changes []Change, written, notes []string, err error) {
	pairs, notes, err := pair(old, new)
	if err != nil {
		return nil, nil, notes, err
	}
	for _, p := range pairs {
		page := pprof.Page{Title: "difference " + p.name, Subtitle: fmt.Sprintf("%s, then %s", p.old, p.new)}
		for _, k := range p.kinds {
			absolute := absolute || k == pprof.Heap || k == pprof.Goroutine
			g, err := p.graph(k, absolute)
			if err != nil {
				return changes, written, notes, err
			}
			page.Graphs = append(page.Graphs, g)
			changes = append(changes, Change{Name: filepath.Join(p.name, string(k)), Graph: g, Absolute: absolute})
		}
		dir := filepath.Join(out, p.name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return changes, written, notes, err
		}
		w := writer{dir: dir}
		for i, g := range page.Graphs {
			base := cmp.Or(string(p.kinds[i]), "profile")
			w.write(base+".diff.svg", g.WriteSVG)
			w.write(base+".diff.folded", g.WriteFolded)
		}
		w.write("diff.html", page.WriteHTML)
		if written = append(written, w.written...); w.err != nil {
			return changes, written, notes, w.err
		}
	}
	return changes, written, notes, nil
}

// two are two captures of one workload, or two profiles (kinds {""}).
type two struct {
	name, old, new string
	kinds          []pprof.Kind
}

func (p two) graph(k pprof.Kind, absolute bool) (*pprof.Graph, error) {
	old, new := p.old, p.new
	if k != "" {
		old, new = filepath.Join(old, k.FileName()), filepath.Join(new, k.FileName())
	}
	before, err := pprof.ReadProfileFile(old)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDiff, err)
	}
	after, err := pprof.ReadProfileFile(new)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDiff, err)
	}
	g, err := pprof.Diff(before, after, graphOptions(k), !absolute)
	if err != nil {
		return nil, fmt.Errorf("%w: %s and %s: %w", ErrDiff, old, new, err)
	}
	return g, nil
}

// pair finds what to compare with what.
func pair(old, new string) (pairs []two, notes []string, err error) {
	a, err := os.Stat(old)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrDiff, err)
	}
	b, err := os.Stat(new)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrDiff, err)
	}
	if a.IsDir() != b.IsDir() {
		return nil, nil, fmt.Errorf("%w: got a file and a directory, %s and %s: want two profiles or two captures", ErrDiff, old, new)
	}
	if !a.IsDir() {
		return []two{{old: old, new: new, kinds: []pprof.Kind{""}}}, nil, nil
	}
	names := []string{""}
	if _, err := os.Stat(filepath.Join(new, pprof.ManifestName)); errors.Is(err, fs.ErrNotExist) {
		names = nil
		found, err := filepath.Glob(filepath.Join(new, "*", pprof.ManifestName))
		if err != nil {
			return nil, nil, err
		}
		for _, path := range found {
			names = append(names, filepath.Base(filepath.Dir(path)))
		}
	}
	if len(names) == 0 {
		return nil, nil, fmt.Errorf("%w: neither %s nor a directory in it has a %s: want what benchrig capture wrote", ErrDiff, new, pprof.ManifestName)
	}
	for _, name := range names {
		p := two{name: name, old: filepath.Join(old, name), new: filepath.Join(new, name)}
		after, err := pprof.ReadManifest(p.new)
		if err != nil {
			return nil, notes, fmt.Errorf("%w: %w", ErrDiff, err)
		}
		before, err := pprof.ReadManifest(p.old)
		if errors.Is(err, fs.ErrNotExist) && name != "" {
			notes = append(notes, fmt.Sprintf("%s is only in %s", name, new))
			continue
		}
		if err != nil {
			return nil, notes, fmt.Errorf("%w: %w", ErrDiff, err)
		}
		if before.Arch != after.Arch || before.Cores != after.Cores || before.Go != after.Go {
			notes = append(notes, fmt.Sprintf("not the same ground: %s, %d cores, %s, then %s, %d cores, %s", before.Arch, before.Cores, before.Go, after.Arch, after.Cores, after.Go))
		}
		for _, f := range after.Files {
			if f.Kind.Profile() && slices.ContainsFunc(before.Files, func(o pprof.File) bool { return o.Kind == f.Kind }) {
				p.kinds = append(p.kinds, f.Kind)
			}
		}
		if len(p.kinds) == 0 {
			notes = append(notes, fmt.Sprintf("%s and %s have no kind of profile in common", p.old, p.new))
			continue
		}
		pairs = append(pairs, p)
	}
	if len(pairs) == 0 {
		return nil, notes, fmt.Errorf("%w: %s and %s have no profile in common", ErrDiff, old, new)
	}
	return pairs, notes, nil
}

// Table writes the functions whose own cost changed most, at most rows of them, for people.
func (c Change) Table(w io.Writer, rows int) {
	type line struct {
		name          string
		before, after int64
	}
	sums := map[string]*line{}
	var walk func(n *pprof.Node)
	walk = func(n *pprof.Node) {
		l := sums[n.Name]
		if l == nil {
			l = &line{name: n.Name}
			sums[n.Name] = l
		}
		l.before, l.after = l.before+n.BaseSelf, l.after+n.Self
		for _, child := range n.Children {
			walk(child)
		}
	}
	root, unit := c.Graph.Root, c.Graph.Unit
	walk(root)
	// A scaled profile has the later one's total: a difference of values is one of shares.
	change := func(l *line) int64 { return l.after - l.before }
	abs := func(v int64) int64 { return max(v, -v) }
	lines := slices.SortedFunc(maps.Values(sums), func(a, b *line) int {
		return cmp.Or(cmp.Compare(abs(change(b)), abs(change(a))), cmp.Compare(a.name, b.name))
	})
	name := cmp.Or(c.Name, "profile") + " (" + c.Graph.SampleType + ")"
	share := func(v int64) string { return fmt.Sprintf("%.2f %%", 100*float64(v)/float64(max(root.Value, 1))) }
	if c.Absolute {
		share = func(v int64) string { return pprof.FormatValue(v, unit) }
		fmt.Fprintf(w, "%s: %s, then %s\n", name, share(root.Base), share(root.Value))
	} else {
		fmt.Fprintf(w, "%s, by share: %s in the later one\n", name, pprof.FormatValue(root.Value, unit))
	}
	for _, l := range lines[:min(rows, len(lines))] {
		if change(l) != 0 {
			sign := "+"
			if change(l) < 0 {
				sign = "−"
			}
			fmt.Fprintf(w, "  %12s  %12s → %-12s %s\n", sign+share(abs(change(l))), share(l.before), share(l.after), l.name)
		}
	}
}
