package pprof

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// WriteFolded writes one line a stack, "root;caller;callee value", heaviest first at each level, in the form that other
// flame graph tools read. A difference has two numbers a line, before and after. The root frame "all" is left out.
func (g *Graph) WriteFolded(w io.Writer) error {
	b := bufio.NewWriter(w)
	var stack []string
	var walk func(n *Node)
	walk = func(n *Node) {
		if n != g.Root {
			stack = append(stack, strings.NewReplacer(";", ":", "\n", " ").Replace(n.Name))
			defer func() { stack = stack[:len(stack)-1] }()
			if g.Diff && (n.Self > 0 || n.BaseSelf > 0) {
				fmt.Fprintf(b, "%s %d %d\n", strings.Join(stack, ";"), n.BaseSelf, n.Self)
			} else if n.Self > 0 {
				fmt.Fprintf(b, "%s %d\n", strings.Join(stack, ";"), n.Self)
			}
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(g.Root)
	return b.Flush()
}
