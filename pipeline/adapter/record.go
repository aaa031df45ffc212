package adapter

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/ingress"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// Prepare makes counters for keys, none of which counts yet. Where one can't be made it returns that key's place and why. add counts one of them.
type Prepare func(keys []pipeline.Key) (add func(i int, inc uint64), bad int, err error)

// Into returns a Prepare over a recorder's Counter method.
func Into[C interface{ Add(uint64) }](counter func(pipeline.Key) (C, error)) Prepare {
	return func(keys []pipeline.Key) (func(int, uint64), int, error) {
		all := make([]C, len(keys))
		for i, k := range keys {
			c, err := counter(k)
			if err != nil {
				return nil, i, err
			}
			all[i] = c
		}
		return func(i int, inc uint64) { all[i].Add(inc) }, 0, nil
	}
}

// Recount returns what counts the rest of a batch after a kill: for ingress.Options.Recount.
func Recount(into Prepare, dims []string) ingress.Recount {
	return func(rows []byte, from int, begun func(int)) error {
		b, err := parseBatch(rows, dims)
		if err != nil {
			return err
		}
		add, bad, err := into(b.keys)
		if err != nil {
			return fmt.Errorf("row %d: %w", bad, err)
		}
		b.count(from, begun, add)
		return nil
	}
}

// The media types of POST /record.
const (
	typeJSON = "application/json"
	typeCBOR = "application/cbor"
)

// maxKey is the longest Idempotency-Key.
const maxKey = 128

// batch is a decoded POST /record.
type batch struct {
	keys []pipeline.Key
	incs []uint64
}

// record counts a batch: all of it or nothing. The order matters: first what may be refused; then the idempotency key is made durable
// together with the rows; then they are counted, which can't fail any more. A process that is killed before the last row has been
// counted counts the rest when it starts again (Recount).
func (a *Adapter) record(w http.ResponseWriter, r *http.Request, p *principal) (string, *refusal) {
	kind, f := mediaType(r.Header, typeJSON, typeCBOR)
	if f != nil {
		return "", f
	}
	key, f := idempotencyKey(r.Header)
	if f != nil {
		return "", f
	}
	b, f := receive(w, r)
	if f != nil {
		return "", f
	}
	rows, f := decodeRows(kind, b.b, a.o.MaxRows)
	b.free() // what was decoded is a copy
	if f != nil {
		return "", f
	}
	got, f := a.rows(rows, p)
	if f != nil {
		return "", f
	}
	add, bad, err := a.o.Record(got.keys)
	if err != nil {
		f := refusalOf(err)
		f.Detail = rowDetail(bad, f.Detail)
		return "", f
	}
	ctx, cancel := a.deadline(r)
	defer cancel()
	packed := got.append(nil, a.o.Dimensions)
	dup, err := a.o.Queue.Count(ctx, canon.Sum([]byte(p.grant.Tenant()+"\x00"+key)), canon.Sum(packed), packed, func(_ []byte, from int, begun func(int)) error {
		got.count(from, begun, add)
		return nil
	})
	if err != nil {
		return "", refusalOf(err)
	}
	ack := "dup"
	if !dup {
		ack = "ok"
	}
	out := append(make([]byte, 0, 48+6*len(rows)), `{"ack":"`...)
	out = append(append(out, ack...), `","results":[`...)
	for i := range rows {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), ack...), '"')
	}
	writeJSON(w, http.StatusOK, append(out, "]}\n"...))
	return ack, nil
}

func idempotencyKey(h http.Header) (string, *refusal) {
	all := h.Values("Idempotency-Key")
	if len(all) != 1 || len(all[0]) == 0 || len(all[0]) > maxKey {
		return "", refuse(problem.Schema, "", "Idempotency-Key: want one header of 1 to %d characters", maxKey)
	}
	for _, c := range []byte(all[0]) {
		if c < 0x21 || c > 0x7e {
			return "", refuse(problem.Schema, "", "Idempotency-Key: want visible ASCII characters")
		}
	}
	return all[0], nil
}

// rows turns a document's rows into keys. Each faulty row is named (the first hundred of them), and then none counts.
func (a *Adapter) rows(rows []row, p *principal) (*batch, *refusal) {
	out := &batch{make([]pipeline.Key, len(rows)), make([]uint64, len(rows))}
	var all *refusal
	for i := range rows {
		r := &rows[i]
		var f *refusal
		n, ok := a.dims[r.Dimension]
		switch {
		case r.Tenant == nil || r.Subject == nil || r.Inc == nil || r.Dimension == "":
			f = refuse(problem.Schema, "", "want tenant, dimension, subject and inc")
		case r.Tenant.bad:
			f = refuse(problem.Schema, "", "tenant: "+faultID)
		case r.Subject.bad:
			f = refuse(problem.Schema, "", "subject: "+faultID)
		case r.Inc.bad:
			f = refuse(problem.Schema, "", "inc: "+faultUnits)
		case !ok:
			f = refuse(problem.Schema, "", "dimension: got %.70q, want one of %v", r.Dimension, a.o.Dimensions)
		default:
			f = p.may(r.Tenant.ID, r.Dimension)
		}
		if f != nil {
			named := problem.Row{Row: i, Code: f.Code, Detail: f.Detail}
			if all == nil {
				all = f
				all.Detail = rowDetail(i, f.Detail)
			}
			if len(all.Rows) < 100 {
				all.Rows = append(all.Rows, named)
			}
			continue
		}
		out.keys[i] = pipeline.Key{Tenant: r.Tenant.ID, Subject: r.Subject.ID, Namespace: r.NS, Dimension: pipeline.Dimension(n)}
		out.incs[i] = r.Inc.n
	}
	if all != nil {
		return nil, all
	}
	return out, nil
}

// rowSize is what a row takes beside its dimension's name: tenant, subject, namespace, units, length of the name; big-endian.
const rowSize = 16 + 16 + 4 + 8 + 1

// append writes what the batch says, however it was encoded: a retry may be encoded anew, and its hash is that of these bytes. Dimensions go by
// name: what a kill has cut short is read back by a process that may number them otherwise.
func (b *batch) append(buf []byte, dims []string) []byte {
	buf = slices.Grow(buf, (rowSize+8)*len(b.keys))
	for i, k := range b.keys {
		buf = append(append(buf, k.Tenant[:]...), k.Subject[:]...)
		buf = binary.BigEndian.AppendUint32(buf, k.Namespace)
		buf = binary.BigEndian.AppendUint64(buf, b.incs[i])
		name := dims[k.Dimension]
		buf = append(append(buf, byte(len(name))), name...)
	}
	return buf
}

// parseBatch reads what append wrote.
func parseBatch(p []byte, dims []string) (*batch, error) {
	b := &batch{}
	for len(p) > 0 {
		if len(p) < rowSize || len(p) < rowSize+int(p[rowSize-1]) {
			return nil, fmt.Errorf("accounting/adapter: a batch's row %d is cut off", len(b.keys))
		}
		name := string(p[rowSize : rowSize+int(p[rowSize-1])])
		dim := slices.Index(dims, name)
		if dim < 0 {
			return nil, fmt.Errorf("accounting/adapter: a batch's row %d: dimension: got %.70q, want one of %v", len(b.keys), name, dims)
		}
		b.keys = append(b.keys, pipeline.Key{Tenant: canon.ID(p[:16]), Subject: canon.ID(p[16:32]), Dimension: pipeline.Dimension(dim), Namespace: binary.BigEndian.Uint32(p[32:])})
		b.incs = append(b.incs, binary.BigEndian.Uint64(p[36:]))
		p = p[rowSize+len(name):]
	}
	return b, nil
}

// count counts the rows from one on.
func (b *batch) count(from int, begun func(int), add func(int, uint64)) {
	for i := from; i < len(b.incs); i++ {
		begun(i + 1)
		add(i, b.incs[i])
	}
}
