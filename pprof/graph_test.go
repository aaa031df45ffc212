package pprof

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

// sample is a stack from root to leaf, its value and its stage.
type sample struct {
	stack string
	value int64
	stage string
}

// synthetic makes a valid profile of the stacks.
func synthetic(samples ...sample) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	locs := map[string]*profile.Location{}
	for _, s := range samples {
		ps := &profile.Sample{Value: []int64{1, s.value}}
		if s.stage != "" {
			ps.Label = map[string][]string{stage.Key: {s.stage}}
		}
		frames := strings.Split(s.stack, ";")
		for i := len(frames) - 1; i >= 0; i-- {
			l := locs[frames[i]]
			if l == nil {
				f := &profile.Function{ID: uint64(len(locs) + 1), Name: frames[i], Filename: "x.go"}
				l = &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f, Line: 1}}}
				locs[frames[i]] = l
				p.Function, p.Location = append(p.Function, f), append(p.Location, l)
			}
			ps.Location = append(ps.Location, l)
		}
		p.Sample = append(p.Sample, ps)
	}
	return p
}

var pair = [2][]sample{
	{{"main;seal;encode", 40e6, "seal"}, {"main;seal;digest", 20e6, "seal"}, {"main;gone", 15e6, ""}, {"main;record", 25e6, "record"}},
	{{"main;seal;encode", 90e6, "seal"}, {"main;seal;digest", 10e6, "seal"}, {"main;record", 30e6, "record"}, {"main;<script>&\"'\x00", 1e6, ""}},
}

func TestGraphAddsUp(t *testing.T) {
	g, err := NewGraph(synthetic(pair[0]...), GraphOptions{ByStage: true})
	if err != nil {
		t.Fatal(err)
	}
	if g.Root.Value != 100e6 || g.SampleType != "cpu" {
		t.Fatalf("total %d of %s, want 100000000 of cpu", g.Root.Value, g.SampleType)
	}
	checkTree(t, g.Root)
	got := map[string]int64{}
	for _, c := range g.Root.Children {
		got[c.Name] = c.Value
	}
	if want := map[string]int64{"stage: seal": 60e6, "stage: record": 25e6, "(no stage)": 15e6}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stages: got %v, want %v", got, want)
	}
}

func checkTree(t *testing.T, n *Node) {
	t.Helper()
	v, b := n.Self, n.BaseSelf
	for _, c := range n.Children {
		checkTree(t, c)
		v, b = v+c.Value, b+c.Base
	}
	if v != n.Value || b != n.Base {
		t.Errorf("%s: self and children are %d (before: %d), want %d (%d)", n.Name, v, b, n.Value, n.Base)
	}
}

func TestDiff(t *testing.T) {
	g, err := Diff(synthetic(pair[0]...), synthetic(pair[1]...), GraphOptions{}, false)
	if err != nil {
		t.Fatal(err)
	}
	checkTree(t, g.Root)
	if g.Root.Value != 131e6 || g.Root.Base != 100e6 {
		t.Errorf("totals %d and %d, want 131000000 and 100000000", g.Root.Value, g.Root.Base)
	}
	var folded bytes.Buffer
	if err := g.WriteFolded(&folded); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"main;seal;encode 40000000 90000000\n", "main;gone 15000000 0\n"} {
		if !strings.Contains(folded.String(), want) {
			t.Errorf("folded stacks lack %q:\n%s", want, folded.String())
		}
	}
	n, err := Diff(synthetic(pair[0]...), synthetic(pair[1]...), GraphOptions{}, true)
	if err != nil {
		t.Fatal(err)
	}
	if d := n.Root.Base - n.Root.Value; d < -5 || d > 5 { // rounding, one unit a stack
		t.Errorf("normalized totals differ by %d", d)
	}
	other := synthetic(pair[0]...)
	other.SampleType[1].Unit = "bytes"
	if _, err := Diff(other, synthetic(pair[1]...), GraphOptions{}, false); !errors.Is(err, ErrProfile) {
		t.Errorf("a difference of bytes and nanoseconds: got %v, want ErrProfile", err)
	}
}

// svgFrame is what the test reads back of a frame: every <g class="f"> of the file.
type svgFrame struct {
	Class string `xml:"class,attr"`
	Name  string `xml:"n,attr"`
	Data  string `xml:"data-n,attr"`
	Title string `xml:"title"`
	Rect  struct {
		X     float64 `xml:"x,attr"`
		Y     float64 `xml:"y,attr"`
		Width float64 `xml:"width,attr"`
	} `xml:"rect"`
}

func parseSVG(t *testing.T, b []byte) (frames []svgFrame) {
	t.Helper()
	var doc struct {
		XMLName xml.Name
		Groups  []struct {
			Class  string     `xml:"class,attr"`
			Frames []svgFrame `xml:"g"`
		} `xml:"g"`
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	d.Strict = true
	if err := d.Decode(&doc); err != nil {
		t.Fatalf("the SVG is not well-formed: %v", err)
	}
	for _, g := range doc.Groups {
		if g.Class == "frames" {
			frames = g.Frames
		}
	}
	return frames
}

func TestSVGWidthsAddUp(t *testing.T) {
	for _, diff := range []bool{false, true} {
		g, err := NewGraph(synthetic(pair[1]...), GraphOptions{Title: "a <title> & more", ByStage: true})
		if diff {
			g, err = Diff(synthetic(pair[0]...), synthetic(pair[1]...), GraphOptions{}, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := g.WriteSVG(&b); err != nil {
			t.Fatal(err)
		}
		frames := parseSVG(t, b.Bytes())
		boxes, _ := g.layout()
		if len(frames) != len(boxes) || len(frames) < 5 {
			t.Fatalf("%d frames in the file, %d in the layout", len(frames), len(boxes))
		}
		inner, row := float64(svgWidth-2*svgMargin), map[float64]float64{}
		for i, f := range frames {
			want := inner * float64(boxes[i].n.Value) / float64(g.Root.Value)
			if math.Abs(f.Rect.Width-want) > 0.001 {
				t.Errorf("%q is %v wide, want %v", f.Data, f.Rect.Width, want)
			}
			row[f.Rect.Y] += f.Rect.Width
		}
		for y, w := range row {
			if w > inner+0.01 || (y == svgTop+svgRow && math.Abs(w-inner) > 0.01) {
				t.Errorf("row at %v: frames add up to %v of %v", y, w, inner)
			}
		}
		offline(t, b.String())
	}
}

// offline checks that a file refers to nothing outside itself.
func offline(t *testing.T, s string) {
	t.Helper()
	s = strings.ReplaceAll(s, "http://www.w3.org/2000/svg", "")
	for _, bad := range []string{"http://", "https://", "<link", "@import", "src=\"", "url(", "fetch(", "XMLHttpRequest"} {
		if strings.Contains(s, bad) {
			t.Errorf("the file contains %q", bad)
		}
	}
}

func TestHTMLDataAddsUp(t *testing.T) {
	g, err := NewGraph(synthetic(pair[1]...), GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := (Page{Title: "</title><script>", Subtitle: "x", Graphs: []*Graph{g}}).WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	s := b.String()
	offline(t, s)
	if n := strings.Count(s, "</script>"); n != 2 {
		t.Errorf("%d script elements end in the page, want 2: a name broke out", n)
	}
	_, s, _ = strings.Cut(s, `<script type="application/json">`)
	s, _, _ = strings.Cut(s, "</script>")
	var data []struct {
		Names []string
		Nodes []float64
	}
	if err := json.Unmarshal([]byte(s), &data); err != nil {
		t.Fatal(err)
	}
	var selfs float64
	for i := 0; i < len(data[0].Nodes); i += 6 {
		selfs += data[0].Nodes[i+3]
	}
	if selfs != data[0].Nodes[2] || selfs != 131e6 {
		t.Errorf("the frames' own costs add up to %v, the root has %v", selfs, data[0].Nodes[2])
	}
}

func TestLargeGraphIsBounded(t *testing.T) {
	var s []sample
	for i := range MaxNodes * 3 {
		s = append(s, sample{stack: "main;f" + strconv.Itoa(i%300) + ";g" + strconv.Itoa(i), value: int64(1 + i%7)})
	}
	s = append(s, sample{stack: strings.Repeat("deep;", MaxDepth*2) + "end", value: 100})
	g, err := NewGraph(synthetic(s...), GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if g.Nodes > MaxNodes || len(must(g.layout())) > MaxNodes {
		t.Errorf("%d nodes, want at most %d", g.Nodes, MaxNodes)
	}
	checkTree(t, g.Root)
	if _, depth := g.layout(); depth > MaxDepth+1 {
		t.Errorf("depth %d, want at most %d", depth, MaxDepth+1)
	}
}

func must(b []box, _ int) []box { return b }

func TestBadProfiles(t *testing.T) {
	for name, in := range map[string]string{"empty": "", "text": "hello", "gzip of nothing": "\x1f\x8b\x08"} {
		if _, err := ReadProfile(strings.NewReader(in)); !errors.Is(err, ErrProfile) {
			t.Errorf("%s: got %v, want ErrProfile", name, err)
		}
	}
	if _, err := NewGraph(synthetic(pair[0]...), GraphOptions{SampleType: "nosuch"}); !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), "cpu") {
		t.Errorf("unknown sample type: got %v, want ErrProfile naming cpu", err)
	}
	empty, err := NewGraph(synthetic(), GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := empty.WriteSVG(io.Discard); err != nil {
		t.Error(err)
	}
}

func TestFormatValue(t *testing.T) {
	for _, c := range []struct {
		v          int64
		unit, want string
	}{{1_234_567_891, "nanoseconds", "1.235s"}, {1536, "bytes", "1.50 KiB"}, {12, "bytes", "12 B"}, {-1234567, "count", "-1,234,567"}, {5, "objects", "5 objects"}} {
		if got := FormatValue(c.v, c.unit); got != c.want {
			t.Errorf("FormatValue(%d, %s) = %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func FuzzReadProfile(f *testing.F) {
	var b bytes.Buffer
	if err := synthetic(pair[0]...).Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := ReadProfile(bytes.NewReader(in))
		if err != nil {
			return
		}
		if g, err := NewGraph(p, GraphOptions{ByStage: true}); err == nil {
			_ = g.WriteSVG(io.Discard)
			_ = Page{Graphs: []*Graph{g}}.WriteHTML(io.Discard)
		}
	})
}
