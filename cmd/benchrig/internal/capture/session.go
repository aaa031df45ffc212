package capture

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
	"github.com/ron-accounting/ron-accounting/pprof"
)

// Plan says what to capture of each workload, and where.
type Plan struct {
	Kinds  []pprof.Kind
	Dir    string // each workload has a directory of its own below it
	Labels map[string]string
}

// Start begins to capture the workload. stop completes the files, draws the graphs and returns the paths of what was written.
func (p Plan) Start(workload string) (stop func(*result.Result) ([]string, error), err error) {
	dir := filepath.Join(p.Dir, workload)
	labels := map[string]string{"workload": workload}
	for k, v := range p.Labels {
		labels[k] = v
	}
	c, err := pprof.Start(pprof.Options{Dir: dir, Kinds: p.Kinds, Labels: labels})
	if err != nil {
		return nil, err
	}
	return func(r *result.Result) ([]string, error) {
		m, err := c.Stop()
		if err != nil && !errors.Is(err, pprof.ErrLimit) {
			return nil, err
		}
		written := []string{filepath.Join(dir, pprof.ManifestName)}
		for _, f := range m.Files {
			written = append(written, filepath.Join(dir, f.Name))
		}
		drawn, err := draw(dir, m, r)
		return append(written, drawn...), err
	}, nil
}

// draw writes a page of all profiles' flame graphs, and each as an SVG and as folded stacks.
func draw(dir string, m pprof.Manifest, r *result.Result) (written []string, err error) {
	page := pprof.Page{
		Title:    fmt.Sprintf("%s %s", r.Workload, m.Labels["version"]),
		Subtitle: fmt.Sprintf("%s, %d cores, %s, path %s", r.Host.CPU, r.Host.Cores, r.Host.Go, r.Host.Path),
	}
	w := writer{dir: dir}
	for _, f := range m.Files {
		if !f.Kind.Profile() || f.Truncated {
			continue
		}
		g, gerr := graph(filepath.Join(dir, f.Name), f.Kind)
		if gerr != nil {
			return w.written, gerr
		}
		page.Graphs = append(page.Graphs, g)
		w.write(string(f.Kind)+".svg", g.WriteSVG)
		w.write(string(f.Kind)+".folded", g.WriteFolded)
	}
	if len(page.Graphs) > 0 {
		w.write("flame.html", page.WriteHTML)
	}
	return w.written, w.err
}

// writer writes files into a directory and remembers their paths and the faults.
type writer struct {
	dir     string
	written []string
	err     error
}

func (w *writer) write(name string, to func(io.Writer) error) {
	path := filepath.Join(w.dir, name)
	var b bytes.Buffer
	err := to(&b)
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o644)
	}
	w.err = errors.Join(w.err, err)
	w.written = append(w.written, path)
}

func graph(path string, k pprof.Kind) (*pprof.Graph, error) {
	prof, err := pprof.ReadProfileFile(path)
	if err != nil {
		return nil, err
	}
	return pprof.NewGraph(prof, graphOptions(k))
}

// graphOptions say how a kind is drawn; "" is a profile of any kind.
func graphOptions(k pprof.Kind) pprof.GraphOptions {
	title := map[pprof.Kind]string{
		pprof.CPU: "CPU by stage", pprof.Heap: "live heap", pprof.Mutex: "waiting for locks", pprof.Block: "blocked", pprof.Goroutine: "goroutines", pprof.Fgprof: "wall clock",
	}[k]
	o := pprof.GraphOptions{Title: title, ByStage: k == pprof.CPU}
	if k == pprof.Heap {
		o.SampleType = "inuse_space"
	}
	return o
}

// CPU captures a CPU profile alone, in a temporary directory, and draws it as a part of a page.
func CPU() (stop func() (template.HTML, error), err error) {
	dir, err := os.MkdirTemp("", "benchrig-cpu-")
	if err != nil {
		return nil, err
	}
	c, err := pprof.Start(pprof.Options{Dir: dir, Kinds: []pprof.Kind{pprof.CPU}})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return func() (out template.HTML, err error) {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		if _, err := c.Stop(); err != nil {
			return "", err
		}
		g, err := graph(filepath.Join(dir, pprof.CPU.FileName()), pprof.CPU)
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		err = pprof.WriteFragment(&b, g)
		return template.HTML(b.String()), err // made by this module, its data escaped
	}, nil
}
