// Command shardmap writes shard maps: counters keyed by a fixed-size struct, for package shardmap and for anyone's key.
//
//	go run github.com/ron-accounting/ron-accounting/gen/shardmap -layout file -o dir
//
// writes dir/zlayout_<name>.go for the layout in file, a Variant in JSON (example/layout.json is one). The generated
// file imports shardmap/table and nothing else of the repository. Without -layout the maps of the table in variants.go are written.
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"go/format"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed shardmap.tmpl
var text string

var tmpl = template.Must(template.New("shardmap").Parse(text))

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("shardmap", flag.ContinueOnError)
	fs.SetOutput(stderr)
	file := fs.String("layout", "", "layout file; empty: the maps of package shardmap")
	dir := fs.String("o", "../shardmap", "directory to write to")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	vs := Variants
	if *file != "" {
		b, err := os.ReadFile(*file)
		if err != nil {
			fmt.Fprintf(stderr, "shardmap: %v\n", err)
			return 1
		}
		v, err := parse(b)
		if err != nil {
			fmt.Fprintf(stderr, "shardmap: %s: %v\n", *file, err)
			return 1
		}
		vs = []Variant{v}
	}
	for _, v := range vs {
		b, err := Generate(v)
		name := filepath.Join(*dir, FileName(v))
		if err == nil {
			err = os.WriteFile(name, b, 0o644)
		}
		if err != nil {
			fmt.Fprintf(stderr, "shardmap: %v\n", err)
			return 1
		}
		fmt.Fprintln(stdout, "wrote", name)
	}
	return 0
}

// FileName returns the name of the file for a variant.
func FileName(v Variant) string { return "zlayout_" + strings.ToLower(v.Name) + ".go" }

// Generate returns the text of the file for a variant. It depends on nothing else.
func Generate(v Variant) ([]byte, error) {
	l, err := plan(v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = tmpl.Execute(&out, struct {
		layout
		TagWord    int
		UsesBinary bool
	}{l, l.Words - 1, strings.Contains(strings.Join(l.Load, " "), "binary.")})
	if err != nil {
		return nil, err
	}
	return format.Source(out.Bytes())
}
