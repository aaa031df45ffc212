package pprof

import (
	"bufio"
	_ "embed"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

//go:embed assets/flame.svg.js
var svgScript string

// Measures of the SVG, in its own units (pixels at the natural size).
const (
	svgWidth  = 1200
	svgMargin = 10
	svgRow    = 17
	svgTop    = 58
	svgChar   = 6.6 // width of a character of the 11-pixel monospace font
)

// WriteSVG writes the graph as one self-contained SVG: root on top, hover for figures, click to zoom, Ctrl-F or the
// corner to search by regular expression, Escape to go back. It works as a file, in an <img> (without
// the interaction) and inside a page.
func (g *Graph) WriteSVG(w io.Writer) error {
	boxes, depth := g.layout()
	b := bufio.NewWriter(w)
	height := svgTop + depth*svgRow + 30
	fmt.Fprintf(b, `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" version="1.1" class="ronflame-svg" width="%d" height="%d" viewBox="0 0 %d %d" data-width="%d" data-margin="%d">
<title>%s</title>
<style>
.ronflame-svg{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;background:#fff;max-width:100%%;height:auto}
.ronflame-svg text{pointer-events:none;fill:#1a1a1a}
.ronflame-svg .h{font:600 16px system-ui,"DejaVu Sans",sans-serif}
.ronflame-svg .b{fill:#0b57d0;cursor:pointer;pointer-events:all}
.ronflame-svg .f{cursor:pointer}
.ronflame-svg .f rect{stroke:#fff;stroke-width:.5}
.ronflame-svg .f:hover rect{stroke:#000;stroke-width:1}
.ronflame-svg .f.m rect{fill:#e935c1}
.ronflame-svg .f.up{opacity:.55}
</style>
<rect width="100%%" height="100%%" fill="#fff"/>
<text class="h" x="%d" y="24">%s</text>
<text x="%d" y="44">%s</text>
<text class="b" data-do="reset" x="%d" y="24" text-anchor="end" visibility="hidden">reset zoom</text>
<text class="b" data-do="search" x="%d" y="24" text-anchor="end">search</text>
<text class="matched" x="%d" y="44" text-anchor="end"></text>
<g class="frames">
`, svgWidth, height, svgWidth, height, svgWidth, svgMargin, esc(g.Title), svgMargin, esc(g.Title), svgMargin, esc(g.summary()), svgWidth-80, svgWidth-svgMargin, svgWidth-svgMargin)
	inner := float64(svgWidth - 2*svgMargin)
	for _, f := range boxes {
		x, y, wd := svgMargin+f.x*inner, svgTop+f.depth*svgRow, f.w*inner
		fmt.Fprintf(b, `<g class="f" data-n="%s"><title>%s</title><rect x="%.4f" y="%d" width="%.4f" height="%d" rx="1.5" fill="%s"/>`,
			esc(f.n.Name), esc(g.describe(f.n)), x, y, wd, svgRow-1, g.color(f.n))
		if t := fit(short(f.n.Name), wd); t != "" {
			fmt.Fprintf(b, `<text x="%.2f" y="%d">%s</text>`, x+3, y+12, esc(t))
		}
		b.WriteString("</g>\n")
	}
	fmt.Fprintf(b, "</g>\n<text class=\"details\" x=\"%d\" y=\"%d\"></text>\n<script><![CDATA[\n%s]]></script>\n</svg>\n", svgMargin, height-10,
		strings.ReplaceAll(svgScript, "]]>", "]] >"))
	return b.Flush()
}

// summary is the line under the title.
func (g *Graph) summary() string {
	s := fmt.Sprintf("%s: %s in total", g.SampleType, FormatValue(g.Root.Value, g.Unit))
	if g.Diff {
		s += fmt.Sprintf(", before %s. Widths are the later capture's; red has a larger share than before, blue a smaller one", FormatValue(g.Root.Base, g.Unit))
	}
	return s
}

// short drops a package's path: "github.com/a/b/pkg.(*T).M" reads "pkg.(*T).M"; a type argument's slashes stay.
func short(name string) string {
	end := len(name)
	if i := strings.IndexByte(name, '['); i >= 0 {
		end = i
	}
	if strings.HasPrefix(name, "stage: ") {
		return name
	}
	return name[strings.LastIndexByte(name[:end], '/')+1:]
}

// fit cuts a text to a width; where not three characters fit it is empty.
func fit(s string, width float64) string {
	n := int((width - 6) / svgChar)
	r := []rune(s)
	switch {
	case n < 3:
		return ""
	case len(r) <= n:
		return s
	}
	return string(r[:n-1]) + "…"
}

func esc(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}
