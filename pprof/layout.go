package pprof

import (
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"time"
)

// box is a frame's place: depth counted from the root, x and w as shares of the root's width.
type box struct {
	n     *Node
	depth int
	x, w  float64
}

// layout places every frame that has a width, parents before their children, children side by side from their
// parent's left edge; what is left of a parent is its own cost.
func (g *Graph) layout() (boxes []box, depth int) {
	total := float64(g.Root.Value)
	if total <= 0 {
		return []box{{n: g.Root, w: 1}}, 1
	}
	var place func(n *Node, d int, x float64)
	place = func(n *Node, d int, x float64) {
		boxes = append(boxes, box{n: n, depth: d, x: x, w: float64(n.Value) / total})
		depth = max(depth, d+1)
		for _, c := range n.Children {
			if c.Value > 0 {
				place(c, d+1, x)
				x += float64(c.Value) / total
			}
		}
	}
	place(g.Root, 0, 0)
	return boxes, depth
}

// FormatValue says v in unit as people read it: "1.25 s", "3.4 MiB", "1,234 samples".
func FormatValue(v int64, unit string) string {
	switch unit {
	case "nanoseconds":
		return time.Duration(v).Round(roundTo(v)).String()
	case "bytes":
		const steps = "KMGTPE"
		f, i := float64(v), -1
		for math.Abs(f) >= 1024 && i < len(steps)-1 {
			f, i = f/1024, i+1
		}
		if i < 0 {
			return fmt.Sprintf("%d B", v)
		}
		return fmt.Sprintf("%.2f %ciB", f, steps[i])
	}
	s := fmt.Sprint(v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if unit == "count" || unit == "" {
		return s
	}
	return s + " " + unit
}

func roundTo(ns int64) time.Duration {
	r := int64(1)
	for a := max(ns, -ns); a/r >= 10_000; {
		r *= 10
	}
	return time.Duration(r)
}

// share is a fraction as a percentage of total; an empty total is 0 %.
func share(v, total int64) float64 {
	if total == 0 {
		return 0
	}
	return 100 * float64(v) / float64(total)
}

// describe is a frame's tooltip.
func (g *Graph) describe(n *Node) string {
	s := fmt.Sprintf("%s\n%s, %.2f%%", n.Name, FormatValue(n.Value, g.Unit), share(n.Value, g.Root.Value))
	if n.Self > 0 && n.Self != n.Value {
		s += fmt.Sprintf("; itself %s, %.2f%%", FormatValue(n.Self, g.Unit), share(n.Self, g.Root.Value))
	}
	if g.Diff {
		s += fmt.Sprintf("\nbefore %s, %.2f%%; change %+.2f points", FormatValue(n.Base, g.Unit), share(n.Base, g.Root.Base),
			share(n.Value, g.Root.Value)-share(n.Base, g.Root.Base))
	}
	return s
}

// family sorts a frame by where its code comes from; the colour follows from it, in SVG and in the pages alike.
func family(n *Node) string {
	switch name := n.Name; {
	case n.Name == "all" || strings.HasPrefix(name, "("):
		return "plain"
	case strings.HasPrefix(name, "stage: "):
		return "stage"
	case strings.HasPrefix(name, "github.com/ron-accounting/"):
		return "ours"
	case strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "runtime/"):
		return "runtime"
	case strings.Contains(strings.SplitN(name, "/", 2)[0], ".") && strings.Contains(name, "/"):
		return "module" // a domain before the first slash
	}
	return "std"
}

var hues = map[string][3]int{ // hue, saturation, lightness in the middle of the family
	"plain": {220, 10, 82}, "stage": {268, 45, 78}, "ours": {18, 85, 70}, "runtime": {210, 28, 76}, "module": {42, 85, 70}, "std": {140, 38, 74},
}

// color is a frame's fill. In a difference red grew and blue shrank, by share of the total, white stayed.
func (g *Graph) color(n *Node) string {
	if g.Diff {
		d := share(n.Value, g.Root.Value) - share(n.Base, g.Root.Base)
		strength := min(1, math.Sqrt(math.Abs(d)/20)) // 20 points are the full colour; small changes stay visible
		hue := 8
		if d < 0 {
			hue = 214
		}
		return fmt.Sprintf("hsl(%d,%d%%,%d%%)", hue, int(90*min(1, strength*3)), int(94-34*strength))
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(n.Name))
	c, v := hues[family(n)], int(h.Sum32()%9)-4
	return fmt.Sprintf("hsl(%d,%d%%,%d%%)", c[0]+v, c[1], c[2]+v)
}
