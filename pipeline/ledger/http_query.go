package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// parseQuery reads the parameters of GET /usage; without sums, of GET /streams. Each may be given once; none is unknown.
func parseQuery(raw string, sums bool) (q Query, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("%w: %w", ErrBadQuery, err)
	}
	for name, v := range values {
		if len(v) != 1 {
			return q, fmt.Errorf("%w: %.40s: given %d times", ErrBadQuery, name, len(v))
		}
		var id canon.ID
		known := name == "writer" || name == "tenant" || name == "dimension" || sums && (name == "from" || name == "to" || name == "group")
		switch {
		case !known:
			return q, fmt.Errorf("%w: unknown parameter %.40q", ErrBadQuery, name)
		case v[0] == "":
			continue // as if not given
		case name == "writer":
			id, err = canonicalID(v[0])
			q.Writer = &id
		case name == "tenant":
			id, err = canonicalID(v[0])
			q.Tenant = &id
		case name == "dimension":
			if q.Dimension = v[0]; !canon.ValidName(v[0]) {
				err = errForm
			}
		case name == "from":
			q.From, err = parseU64(v[0])
		case name == "to":
			if q.To, err = parseU64(v[0]); err == nil && q.To == 0 { // in a Query it is no upper bound
				err = errors.New("want at least 1: no window ends at 0")
			}
		case name == "group":
			q.Group, err = ParseGroup(v[0])
		}
		if errors.Is(err, ErrBadQuery) {
			return q, err
		}
		if err != nil {
			return q, fmt.Errorf("%w: %s=%.80q: %w", ErrBadQuery, name, v[0], err)
		}
	}
	return q, nil
}

type usageJSON struct {
	Writer    string  `json:"writer,omitempty"`
	Tenant    string  `json:"tenant,omitempty"`
	Dimension string  `json:"dimension"`
	Start     string  `json:"window_start_s,omitempty"`
	End       string  `json:"window_end_s,omitempty"`
	Namespace *uint32 `json:"ns,omitempty"`
	Subject   string  `json:"subject,omitempty"`
	Units     string  `json:"units"`
	Slices    string  `json:"slices"`
}

// UsageJSON returns the rows as GET /usage gives them, in the fields that the grouping fills.
func UsageJSON(q Query, rows []UsageRow) ([]byte, error) {
	doc := struct {
		From  string      `json:"from"`
		To    *string     `json:"to"` // null: no upper bound
		Group []string    `json:"group"`
		Usage []usageJSON `json:"usage"`
	}{From: strconv.FormatUint(q.From, 10), Group: []string{}, Usage: make([]usageJSON, len(rows))}
	if q.To != 0 {
		to := strconv.FormatUint(q.To, 10)
		doc.To = &to
	}
	if q.Group != 0 {
		doc.Group = strings.Split(q.Group.String(), ",")
	}
	for i := range rows {
		r, j := &rows[i], &doc.Usage[i]
		j.Dimension, j.Units, j.Slices = r.Dimension, r.Units.String(), strconv.FormatUint(r.Slices, 10)
		if q.Group&ByWriter != 0 {
			j.Writer = r.Writer.String()
		}
		if q.Group&ByTenant != 0 {
			j.Tenant = r.Tenant.String()
		}
		if q.Group&ByWindow != 0 {
			j.Start, j.End = strconv.FormatUint(r.WindowStart, 10), strconv.FormatUint(r.WindowEnd, 10)
		}
		if q.Group&BySubject != 0 {
			j.Namespace, j.Subject = &r.Namespace, r.Subject.String()
		}
	}
	return json.Marshal(doc)
}

func (h *handler) usage(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.RawQuery, true)
	if err != nil {
		problem.Write(w, problemOf(err))
		return
	}
	q.MaxGroups = h.o.MaxGroups
	ctx, cancel := context.WithTimeout(r.Context(), h.o.QueryDeadline)
	defer cancel()
	rows, err := h.l.Usage(ctx, q)
	if err != nil {
		problem.Write(w, problemOf(err))
		return
	}
	b, err := UsageJSON(q, rows)
	if err != nil {
		problem.Write(w, problemOf(err))
		return
	}
	writeJSON(w, append(b, '\n'))
}

type placeJSON struct {
	Seq string `json:"seq"`
	B3  string `json:"b3"`
}

type gapJSON struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Units  *string `json:"units"` // null: unknown
	Reason string  `json:"reason"`
}

type streamJSON struct {
	Writer    string    `json:"writer"`
	Tenant    string    `json:"tenant"`
	Dimension string    `json:"dimension"`
	Tip       placeJSON `json:"tip"`
	Slices    string    `json:"slices"`
	Gaps      []gapJSON `json:"gaps"`
}

// MarshalJSON gives a stream as GET /streams does.
func (in StreamInfo) MarshalJSON() ([]byte, error) {
	j := streamJSON{in.Stream.Writer.String(), in.Stream.Tenant.String(), in.Stream.Dimension,
		placeJSON{strconv.FormatUint(in.TipSeq, 10), in.TipDigest.String()}, strconv.FormatUint(in.Slices, 10), make([]gapJSON, len(in.Gaps))}
	for i, g := range in.Gaps {
		j.Gaps[i] = gapJSON{From: strconv.FormatUint(g.From, 10), To: strconv.FormatUint(g.To, 10), Reason: g.Reason}
		if g.Units != nil {
			u := strconv.FormatUint(*g.Units, 10)
			j.Gaps[i].Units = &u
		}
	}
	return json.Marshal(j)
}

// streams answers piece by piece: there may be a million of them. A failure in the middle cuts the connection, so that nobody
// takes a part for the whole.
func (h *handler) streams(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.RawQuery, false)
	if err != nil {
		problem.Write(w, problemOf(err))
		return
	}
	rc := http.NewResponseController(w)
	buf, begun := []byte{'['}, false
	for in, err := range h.l.Streams(r.Context(), q.Filter) {
		var doc []byte
		if err == nil {
			doc, err = json.Marshal(in)
		}
		if err != nil {
			if begun {
				panic(http.ErrAbortHandler) // net/http's way to cut the connection; it is not logged
			}
			problem.Write(w, problemOf(err))
			return
		}
		if len(buf) > 1 || begun {
			buf = append(buf, ',', '\n')
		}
		if buf = append(buf, doc...); len(buf) >= 256<<10 {
			if !begun {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Cache-Control", "no-store")
				begun = true
			}
			_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every ResponseWriter has one
			if _, err := w.Write(buf); err != nil {
				return
			}
			buf = buf[:0]
		}
	}
	if buf = append(buf, "]\n"...); begun {
		_, _ = w.Write(buf) // the client may be gone
		return
	}
	writeJSON(w, buf)
}
