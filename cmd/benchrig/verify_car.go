package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/conserve"
)

func looksLikeCAR(head []byte) bool { return conserve.LooksLikeCAR(head) }

// verifyCAR decodes every slice of an archive strictly and walks the chains, which may begin anywhere in them.
func verifyCAR(ctx context.Context, path string, w io.Writer, p *progress) error {
	var chains chains
	slices, size := 0, 0
	files := carFiles(path)
	if files == nil {
		files = []string{path}
	}
	for _, file := range files {
		of := uint64(0)
		if info, err := os.Stat(file); err == nil {
			of = uint64(info.Size())
		}
		err := conserve.EachCAR(file, func(offset int64, body []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			slices++
			size += len(body)
			p.tell(uint64(offset), of)
			chains.add(fmt.Sprintf("%s: offset %d", file, offset), body)
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // damage: what follows in this file can't be found
			chains.breaks = append(chains.breaks, err.Error())
		}
	}
	fmt.Fprintf(w, "%s: CAR archive, %d streams, %d slices, %d bytes\n", path, len(chains.of), slices, size)
	return sayBreaks(w, chains.breaks)
}

// carFiles are the files of a directory's archive, in order; nil where there are none, or path is no directory.
func carFiles(path string) []string {
	files, _ := filepath.Glob(filepath.Join(path, "*.car")) // sorted; their numbers have leading zeros
	return files
}

// chains follows many streams at once and keeps the first break of each.
type chains struct {
	of     map[string]*canon.Chain
	broken map[string]bool
	breaks []string
}

// add appends a stored slice to its stream's chain; where says where it is stored.
func (c *chains) add(where string, body []byte) {
	if c.of == nil {
		c.of, c.broken = map[string]*canon.Chain{}, map[string]bool{}
	}
	s, err := canon.View(body)
	if err != nil {
		c.breaks = append(c.breaks, where+": "+err.Error())
		return
	}
	h := s.Head()
	name := fmt.Sprintf("writer %v tenant %v dimension %s", h.Writer, h.Tenant, h.Dimension)
	if c.broken[name] {
		return
	}
	chain := c.of[name]
	if chain == nil {
		chain = &canon.Chain{}
		c.of[name] = chain
	}
	if seq, d, ok := chain.Tip(); ok && seq == h.Seq && d == s.Digest() {
		return // an archive holds a slice twice after a failed sync
	}
	if err := chain.Append(s); err != nil {
		c.broken[name] = true
		c.breaks = append(c.breaks, fmt.Sprintf("%s seq %d: %s: %v", name, h.Seq, where, err))
	}
}
