package pprof

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/ron-accounting/ron-accounting/pprof/stage"
)

// Limits of a graph. Deeper stacks are cut, with a frame that says so.
const (
	MaxDepth = 512
	MaxNodes = 20_000
)

// GraphOptions say what of a profile is drawn. The zero value draws the profile's default sample type.
type GraphOptions struct {
	Title      string // heading; the sample type if empty
	SampleType string // such as "cpu", "inuse_space", "delay"; the profile's default, else its last, if empty
	ByStage    bool   // the first frame below the root is the pprof label "stage", or "(no stage)"
}

// Node is one frame of a flame graph. Value and Base include the children's. Children are ordered by
// weight, then by name, and never add up to more than their parent.
type Node struct {
	Name, File string
	Value      int64 // in this profile (the later one, in a difference)
	Self       int64 // Value without the children's
	Base       int64 // in the earlier profile of a difference, else 0
	BaseSelf   int64
	Children   []*Node
	index      map[string]*Node
}

// Graph is a profile folded into a tree, ready to be drawn. It is not changed after it was made: any number of
// goroutines may write it.
type Graph struct {
	Title, SampleType, Unit string
	Diff                    bool // Base and BaseSelf are set
	Root                    *Node
	Nodes                   int // in the tree, root included
}

// NewGraph folds a profile. An unknown sample type is ErrProfile and names those there are. Samples with
// negative values, as a subtracted profile has where a cost went down, count as zero.
func NewGraph(p *profile.Profile, o GraphOptions) (*Graph, error) {
	i, err := sampleIndex(p, o.SampleType)
	if err != nil {
		return nil, err
	}
	st := p.SampleType[i]
	g := &Graph{Title: o.Title, SampleType: st.Type, Unit: st.Unit, Root: &Node{Name: "all"}}
	if g.Title == "" {
		g.Title = st.Type
	}
	g.add(p, i, o.ByStage, false)
	g.finish()
	return g, nil
}

// Diff folds two profiles of the same kind into one graph that shows what changed from before to after. With normalize
// the earlier profile is scaled to the later one's total, so that runs of different length compare by share.
func Diff(before, after *profile.Profile, o GraphOptions, normalize bool) (*Graph, error) {
	ia, err := sampleIndex(after, o.SampleType)
	if err != nil {
		return nil, err
	}
	st := after.SampleType[ia]
	ib, err := sampleIndex(before, st.Type)
	if err != nil {
		return nil, fmt.Errorf("the earlier profile: %w", err)
	}
	if got := before.SampleType[ib].Unit; got != st.Unit {
		return nil, fmt.Errorf("%w: the earlier profile counts %s in %s, the later one in %s", ErrProfile, st.Type, got, st.Unit)
	}
	g := &Graph{Title: o.Title, SampleType: st.Type, Unit: st.Unit, Diff: true, Root: &Node{Name: "all"}}
	if g.Title == "" {
		g.Title = st.Type + ": difference"
	}
	g.add(after, ia, o.ByStage, false)
	g.add(before, ib, o.ByStage, true)
	sum(g.Root)
	if normalize && g.Root.Base > 0 {
		scaleBase(g.Root, float64(g.Root.Value)/float64(g.Root.Base))
	}
	g.finish()
	return g, nil
}

func sampleIndex(p *profile.Profile, name string) (int, error) {
	if len(p.SampleType) == 0 {
		return 0, fmt.Errorf("%w: no sample type", ErrProfile)
	}
	want := name
	if want == "" {
		want = p.DefaultSampleType
	}
	var have []string
	for i, st := range p.SampleType {
		if st.Type == want {
			return i, nil
		}
		have = append(have, st.Type)
	}
	if name == "" {
		return len(p.SampleType) - 1, nil
	}
	return 0, fmt.Errorf("%w: no sample type %.40q, have %s", ErrProfile, name, strings.Join(have, ", "))
}

func (g *Graph) add(p *profile.Profile, value int, byStage, base bool) {
	for _, s := range p.Sample {
		v := s.Value[value]
		if v <= 0 {
			continue
		}
		n, depth := g.Root, 0
		if byStage {
			name := "(no stage)"
			if l := s.Label[stage.Key]; len(l) > 0 && l[0] != "" {
				name = "stage: " + l[0]
			}
			n, depth = n.child(name, ""), 1
		}
	stack:
		for i := len(s.Location) - 1; i >= 0; i-- { // locations run from the leaf to the root
			for j := len(s.Location[i].Line) - 1; j >= 0; j-- { // and inlined calls from the callee to the caller
				if depth++; depth >= MaxDepth {
					n = n.child("(deeper)", "")
					break stack
				}
				n = n.child(frame(s.Location[i].Line[j]))
			}
			if len(s.Location[i].Line) == 0 {
				depth++
				n = n.child(fmt.Sprintf("0x%x", s.Location[i].Address), "")
			}
		}
		if base {
			n.BaseSelf = addSat(n.BaseSelf, v)
		} else {
			n.Self = addSat(n.Self, v)
		}
	}
}

func frame(l profile.Line) (name, file string) {
	if l.Function == nil || l.Function.Name == "" {
		return "(unknown)", ""
	}
	return l.Function.Name, l.Function.Filename
}

func addSat(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func (n *Node) child(name, file string) *Node {
	if c := n.index[name]; c != nil {
		return c
	}
	c := &Node{Name: name, File: file}
	if n.index == nil {
		n.index = map[string]*Node{}
	}
	n.index[name] = c
	n.Children = append(n.Children, c)
	return c
}

func sum(n *Node) {
	n.Value, n.Base = n.Self, n.BaseSelf
	for _, c := range n.Children {
		sum(c)
		n.Value, n.Base = addSat(n.Value, c.Value), addSat(n.Base, c.Base)
	}
}

func scaleBase(n *Node, by float64) {
	n.BaseSelf = int64(math.Round(float64(n.BaseSelf) * by))
	for _, c := range n.Children {
		scaleBase(c, by)
	}
}

// finish totals, orders and bounds the tree.
func (g *Graph) finish() {
	sum(g.Root)
	least := int64(0)
	for share := 1.0 / 65536; count(g.Root, least) > MaxNodes; share *= 2 {
		least = int64(share * float64(max(g.Root.Value, g.Root.Base)))
	}
	g.Nodes = merge(g.Root, least)
	order(g.Root)
}

// count is the number of nodes that merge would leave.
func count(n *Node, least int64) int {
	nodes, narrow := 1, 0
	for _, c := range n.Children {
		if max(c.Value, c.Base) < least {
			narrow = 1
		} else {
			nodes += count(c, least)
		}
	}
	return nodes + narrow
}

// merge replaces the children that weigh less than least by one, and returns the number of nodes left below and with n.
func merge(n *Node, least int64) (nodes int) {
	n.index = nil
	if least > 0 {
		var narrow *Node
		merged := 0
		n.Children = slices.DeleteFunc(n.Children, func(c *Node) bool {
			if max(c.Value, c.Base) >= least {
				return false
			}
			if narrow == nil {
				narrow = &Node{}
			}
			merged++
			narrow.Value, narrow.Base = narrow.Value+c.Value, narrow.Base+c.Base
			return true
		})
		if narrow != nil {
			narrow.Name = fmt.Sprintf("(%d narrow frames)", merged)
			narrow.Self, narrow.BaseSelf = narrow.Value, narrow.Base
			n.Children = append(n.Children, narrow)
		}
	}
	nodes = 1
	for _, c := range n.Children {
		nodes += merge(c, least)
	}
	return nodes
}

func order(n *Node) {
	slices.SortFunc(n.Children, func(a, b *Node) int {
		if x, y := max(a.Value, a.Base), max(b.Value, b.Base); x != y {
			if x > y {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, c := range n.Children {
		order(c)
	}
}
