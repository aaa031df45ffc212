// Command shardmap writes shard maps: counters keyed by a fixed-size struct, for package shardmap and for anyone's key.
//
//	go run github.com/ron-accounting/ron-accounting/gen/shardmap -layout file -o dir
//
// writes dir/zlayout_<name>*.go, and assembly for amd64 where the key has at most four full words, for the layout in file,
// a Variant in JSON (example/layout.json is one). The generated files import shardmap/table and nothing else of the
// repository. Without -layout the maps of the table in variants.go are written.
package main

import (
	"bytes"
	"embed"
	"flag"
	"fmt"
	"go/format"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var files embed.FS

var tmpl = template.Must(template.New("").Funcs(template.FuncMap{"mul8": func(i int) int { return 8 * i }}).ParseFS(files, "*.tmpl"))

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
		fs, err := Generate(v)
		if err != nil {
			fmt.Fprintf(stderr, "shardmap: %v\n", err)
			return 1
		}
		for _, f := range fs {
			name := filepath.Join(*dir, f.Name)
			if err := os.WriteFile(name, f.Text, 0o644); err != nil {
				fmt.Fprintf(stderr, "shardmap: %v\n", err)
				return 1
			}
			fmt.Fprintln(stdout, "wrote", name)
		}
	}
	return 0
}

// File is one generated file.
type File struct {
	Name string
	Text []byte
}

// Generate returns the files for a variant. They depend on nothing else.
func Generate(v Variant) ([]File, error) {
	l, err := plan(v)
	if err != nil {
		return nil, err
	}
	data := struct {
		layout
		TagWord, TagOffset int
		UsesBinary, Direct bool
		LastReg            string
	}{l, l.Words - 1, 8 * (l.Words - 1), strings.Contains(strings.Join(l.Load, " "), "binary."), l.N <= asmWords, l.Asm.Reg[len(l.Asm.Reg)-1]}
	var out []File
	for _, f := range []struct {
		template, suffix string
		direct           bool // only for the direct path
	}{
		{"shardmap.tmpl", ".go", false}, {"direct_none.go.tmpl", "_none.go", false},
		{"direct_amd64.go.tmpl", "_amd64.go", true}, {"direct_amd64.s.tmpl", "_amd64.s", true},
	} {
		if f.direct && !data.Direct {
			continue
		}
		var b bytes.Buffer
		if err := tmpl.ExecuteTemplate(&b, f.template, data); err != nil {
			return nil, err
		}
		text := b.Bytes()
		if strings.HasSuffix(f.suffix, ".go") {
			if text, err = format.Source(text); err != nil {
				return nil, err
			}
		}
		out = append(out, File{"zlayout_" + strings.ToLower(v.Name) + f.suffix, text})
	}
	return out, nil
}
