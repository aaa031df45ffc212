package oracle

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	carv1 "github.com/ipld/go-car/v2"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/datamodel"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export/car"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"

	_ "github.com/ipld/go-ipld-prime/multicodec"
	_ "lukechampine.com/blake3"
)

// archive writes three streams, one with a declared gap, into one CAR file and returns its path and the slices in their order.
func archive(t *testing.T) (string, []canon.SealedSlice) {
	t.Helper()
	dir := t.TempDir()
	a, err := car.Open(car.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var all []canon.SealedSlice
	for i := range 3 {
		c := exporttest.NewChain(exporttest.Stream("oracle", i), []int{0, 1, 700}[i])
		all = append(all, c.Take(5)...)
		all = append(all, c.Gap(3, nil), c.Next())
	}
	for _, r := range a.PutBatch(context.Background(), all) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "00000001.car"), all
}

// go-car reads every block, checks each one's hash against its CID, and finds the root.
func TestGoCarReadsTheArchive(t *testing.T) {
	name, all := archive(t)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := carv1.NewBlockReader(f, carv1.WithTrustedCAR(false))
	if err != nil {
		t.Fatal(err)
	}
	if r.Version != 1 || len(r.Roots) != 1 || r.Roots[0].String() != all[0].Digest().CID() {
		t.Errorf("got version %d, roots %v, want 1 and %s", r.Version, r.Roots, all[0].Digest().CID())
	}
	for i := range all {
		b, err := r.Next()
		if err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		if b.Cid().String() != all[i].Digest().CID() || !bytes.Equal(b.RawData(), all[i].Bytes()) {
			t.Errorf("block %d: got %v, want %s", i, b.Cid(), all[i].Digest().CID())
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: got %v, want EOF", err)
	}
}

// go-car's inspection, with full validation, agrees.
func TestGoCarInspects(t *testing.T) {
	name, all := archive(t)
	r, err := carv1.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	st, err := r.Inspect(true)
	if err != nil {
		t.Fatal(err)
	}
	if st.BlockCount != uint64(len(all)) || !st.RootsPresent {
		t.Errorf("got %d blocks, roots present %v, want %d and the root", st.BlockCount, st.RootsPresent, len(all))
	}
}

// From a stream's last block, prev links lead through all of its blocks in an index that go-car makes, decoded by go-ipld-prime.
func TestLinksWalk(t *testing.T) {
	name, all := archive(t)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := carv1.NewBlockReader(f)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[cid.Cid][]byte{}
	for {
		b, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		blocks[b.Cid()] = b.RawData()
	}
	for i := range 3 {
		last := all[7*i+6]
		at, err := cid.Decode(last.Digest().CID())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for {
			n++
			prev := prevOf(t, blocks[at])
			if prev == nil {
				break
			}
			at = prev.(cidlink.Link).Cid
		}
		if n != 7 {
			t.Errorf("stream %d: %d blocks by links, want 7", i, n)
		}
	}
}

// prevOf decodes a block with go-ipld-prime and returns head.prev.
func prevOf(t *testing.T, b []byte) datamodel.Link {
	t.Helper()
	nb := basicnode.Prototype.Any.NewBuilder()
	if err := dagcbor.Decode(nb, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	head, err := nb.Build().LookupByString("head")
	if err != nil {
		t.Fatal(err)
	}
	prev, err := head.LookupByString("prev")
	if err != nil {
		t.Fatal(err)
	}
	if prev.IsNull() {
		return nil
	}
	link, err := prev.AsLink()
	if err != nil {
		t.Fatal(err)
	}
	return link
}
