package oracle

import (
	"bytes"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/fluent/qp"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/multiformats/go-multihash"

	"github.com/ron-accounting/ron-accounting/canon"
)

// cidOf is the CID of a slice with that digest, made by go-cid.
func cidOf(t testing.TB, d canon.Digest) cid.Cid {
	t.Helper()
	mh, err := multihash.Encode(d[:], multihash.BLAKE3)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.DagCBOR, mh)
}

func u64(v uint64) qp.Assemble { return qp.Node(basicnode.NewUint(v)) }

func orNull[T any](v *T, f func(T) qp.Assemble) qp.Assemble {
	if v == nil {
		return qp.Null()
	}
	return f(*v)
}

// ipldEncode writes v by go-ipld-prime's dag-cbor, which sorts the keys itself.
func ipldEncode(t testing.TB, v value) []byte {
	t.Helper()
	h := &v.head
	n, err := qp.BuildMap(basicnode.Prototype.Any, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "rows", qp.List(int64(len(v.rows)), func(l datamodel.ListAssembler) {
			for i := range v.rows {
				r := &v.rows[i]
				qp.ListEntry(l, qp.List(3, func(l datamodel.ListAssembler) {
					qp.ListEntry(l, u64(uint64(r.Namespace)))
					qp.ListEntry(l, qp.Bytes(r.Subject[:]))
					qp.ListEntry(l, u64(r.Inc))
				}))
			}
		}))
		qp.MapEntry(m, "head", qp.Map(11, func(m datamodel.MapAssembler) {
			qp.MapEntry(m, "amnesia", qp.Bool(h.Amnesia))
			qp.MapEntry(m, "dimension", qp.String(h.Dimension))
			qp.MapEntry(m, "gap", orNull(h.Gap, func(g canon.Gap) qp.Assemble {
				return qp.Map(4, func(m datamodel.MapAssembler) {
					qp.MapEntry(m, "from", u64(g.From))
					qp.MapEntry(m, "reason", qp.String(g.Reason))
					qp.MapEntry(m, "to", u64(g.To))
					qp.MapEntry(m, "units", orNull(g.Units, u64))
				})
			}))
			qp.MapEntry(m, "prev", orNull(h.Prev, func(d canon.Digest) qp.Assemble { return qp.Link(cidlink.Link{Cid: cidOf(t, d)}) }))
			qp.MapEntry(m, "sealed_at_ms", u64(h.SealedAtMS))
			qp.MapEntry(m, "seq", u64(h.Seq))
			qp.MapEntry(m, "tenant", qp.Bytes(h.Tenant[:]))
			qp.MapEntry(m, "v", u64(max(h.V, 1)))
			qp.MapEntry(m, "window_end_s", u64(h.WindowEndS))
			qp.MapEntry(m, "window_start_s", u64(h.WindowStartS))
			qp.MapEntry(m, "writer", qp.Bytes(h.Writer[:]))
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := dagcbor.Encode(n, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ipldAgain reads b by go-ipld-prime and writes what it read.
func ipldAgain(b []byte) ([]byte, error) {
	nb := basicnode.Prototype.Any.NewBuilder()
	if err := dagcbor.Decode(nb, bytes.NewReader(b)); err != nil {
		return nil, err
	}
	var w bytes.Buffer
	err := dagcbor.Encode(nb.Build(), &w)
	return w.Bytes(), err
}
