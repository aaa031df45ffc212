package conserve

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/zeebo/blake3"
)

// Digest is BLAKE3-256 of a slice's bytes.
type Digest [32]byte

// Stream is a writer's chain for one tenant and dimension.
type Stream struct {
	Writer, Tenant [16]byte
	Dimension      string
}

func (s Stream) String() string {
	return fmt.Sprintf("%x/%x/%s", s.Writer[:4], s.Tenant[:4], s.Dimension)
}

// wire is a slice as it is stored.
type wire struct {
	Head struct {
		V           uint64       `cbor:"v"`
		Gap         *gap         `cbor:"gap"`
		Seq         uint64       `cbor:"seq"`
		Prev        *cbor.RawTag `cbor:"prev"`
		Tenant      []byte       `cbor:"tenant"`
		Writer      []byte       `cbor:"writer"`
		Amnesia     bool         `cbor:"amnesia"`
		Dimension   string       `cbor:"dimension"`
		SealedAt    uint64       `cbor:"sealed_at_ms"`
		WindowEnd   uint64       `cbor:"window_end_s"`
		WindowStart uint64       `cbor:"window_start_s"`
	} `cbor:"head"`
	Rows []row `cbor:"rows"`
}

type gap struct {
	From   uint64  `cbor:"from"`
	To     uint64  `cbor:"to"`
	Units  *uint64 `cbor:"units"`
	Reason string  `cbor:"reason"`
}

type row struct {
	_         struct{} `cbor:",toarray"`
	Namespace uint32
	Subject   []byte
	Inc       uint64
}

var decoder = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		panic(err) // constant options
	}
	return m
}()

// linkPrefix is a CID's bytes before the digest, as DAG-CBOR writes a link: identity multibase, version 1, dag-cbor,
// blake3, 32 bytes.
var linkPrefix = []byte{0x00, 0x01, 0x71, 0x1e, 0x20}

// parse reads one slice. The digest is that of the bytes given, whatever a store says of them.
func parse(body []byte) (w wire, prev *Digest, d Digest, err error) {
	if err := decoder.Unmarshal(body, &w); err != nil {
		return w, nil, d, fmt.Errorf("not a sealed slice: %w", err)
	}
	switch h := w.Head; {
	case h.V != 1:
		return w, nil, d, fmt.Errorf("not a sealed slice: got version %d, want 1", h.V)
	case len(h.Tenant) != 16 || len(h.Writer) != 16:
		return w, nil, d, fmt.Errorf("not a sealed slice: ids of %d and %d bytes, want 16", len(h.Tenant), len(h.Writer))
	case h.Prev != nil:
		var link []byte
		if err := decoder.Unmarshal(h.Prev.Content, &link); err != nil || h.Prev.Number != 42 || len(link) != 37 || !bytes.HasPrefix(link, linkPrefix) {
			return w, nil, d, fmt.Errorf("not a sealed slice: prev is no link to a slice")
		}
		prev = (*Digest)(link[5:])
	}
	for _, r := range w.Rows {
		if len(r.Subject) != 16 {
			return w, nil, d, fmt.Errorf("not a sealed slice: a subject of %d bytes, want 16", len(r.Subject))
		}
	}
	return w, prev, Digest(blake3.Sum256(body)), nil
}
