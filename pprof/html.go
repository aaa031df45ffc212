package pprof

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"io"
)

//go:embed assets/flame.css
var htmlStyle string

//go:embed assets/flame.js
var htmlScript string

// Page is a self-contained HTML page of one or more flame graphs.
type Page struct {
	Title    string
	Subtitle string // a line under the title: machine, version, command
	Graphs   []*Graph
}

// WriteHTML writes the page: a tab a graph, search, zoom, tooltips, a table of the heaviest functions, readable on a phone, in the
// dark and in print. It loads nothing: its content security policy forbids every request.
func (p Page) WriteHTML(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>%s</title>
<style>
:root{color-scheme:light dark}
body{margin:0;padding:16px 20px 40px;font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;background:#fbfbfc;color:#1d2430}
h1{font-size:20px;margin:0 0 2px}.sub{color:#5c6675;margin:0 0 14px;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){body{background:#14171c;color:#e4e7ec}.sub{color:#9aa4b2}}
@media (max-width:600px){body{padding:10px}}
@media print{body{padding:0;background:#fff;color:#000}}
</style></head><body>
<h1>%s</h1><p class="sub">%s</p>
`, html.EscapeString(p.Title), html.EscapeString(p.Title), html.EscapeString(p.Subtitle))
	if err := WriteFragment(b, p.Graphs...); err != nil {
		return err
	}
	b.WriteString("</body></html>\n")
	return b.Flush()
}

// WriteFragment writes the graphs as a part for someone else's page: a section with its own style, data and script, all of it
// scoped to the class "ronflame". A page may hold several.
func WriteFragment(w io.Writer, graphs ...*Graph) error {
	type wire struct {
		Title   string    `json:"title"`
		Summary string    `json:"summary"`
		Unit    string    `json:"unit"`
		Diff    bool      `json:"diff"`
		Names   []string  `json:"names"`
		Colors  []string  `json:"colors"` // by name; empty in a difference, where the colour is the change
		Nodes   []float64 `json:"nodes"`  // preorder: name, depth, value, self, base, baseSelf
	}
	data := make([]wire, 0, len(graphs))
	for _, g := range graphs {
		d := wire{Title: g.Title, Summary: g.summary(), Unit: g.Unit, Diff: g.Diff, Names: []string{}, Colors: []string{}, Nodes: make([]float64, 0, 6*g.Nodes)}
		index := map[string]int{}
		var walk func(n *Node, depth int)
		walk = func(n *Node, depth int) {
			i, ok := index[n.Name]
			if !ok {
				i = len(d.Names)
				index[n.Name] = i
				d.Names = append(d.Names, n.Name)
				if !g.Diff {
					d.Colors = append(d.Colors, g.color(n))
				}
			}
			d.Nodes = append(d.Nodes, float64(i), float64(depth), float64(n.Value), float64(n.Self), float64(n.Base), float64(n.BaseSelf))
			for _, c := range n.Children {
				walk(c, depth+1)
			}
		}
		walk(g.Root, 0)
		data = append(data, d)
	}
	j, err := json.Marshal(data) // escapes <, > and &, so no name can end the script element
	if err != nil {
		return fmt.Errorf("accounting/pprof: %w", err)
	}
	_, err = fmt.Fprintf(w, "<section class=\"ronflame\"><style>%s</style>\n<script type=\"application/json\">%s</script>\n<script>%s</script>\n<noscript>The flame graph needs JavaScript.</noscript></section>\n",
		htmlStyle, j, htmlScript)
	return err
}
