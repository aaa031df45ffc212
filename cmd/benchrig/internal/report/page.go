// Package report makes one self-contained HTML page of runs: no script from elsewhere, no font, no network. It reads on a phone and
// in print, dark or light.
package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"upper": strings.ToUpper,
	"breaks": func(name string) template.HTML { // a level's name may wrap after an underscore
		return template.HTML(strings.ReplaceAll(template.HTMLEscapeString(name), "_", "_<wbr>"))
	},
	"count": result.Count,
	"bytes": result.Bytes,
	"num":   number,
	"intact": func(c result.Conservation) bool {
		return c.Intact()
	},
	"charts": charts,
	"aim":    aim,
	"group":  group,
}).Parse(pageHTML))

// Flame is a flame graph to put on the page, self-contained.
type Flame struct {
	Title string
	Graph template.HTML
}

// Page renders the runs.
func Page(runs []*result.Result, flames ...Flame) ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		Runs   []*result.Result
		Flames []Flame
	}{runs, flames})
	return b.Bytes(), err
}

// number writes a figure with at most three significant digits after the point's worth.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
}

// group writes a decimal string in groups of three, with narrow spaces between them.
func group(s string) string {
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// aim returns the project's own figure of that name, or nil.
func aim(r *result.Result, name string) *result.Figure {
	for i := range r.Reach {
		if r.Reach[i].Name == name {
			return &r.Reach[i]
		}
	}
	return nil
}
