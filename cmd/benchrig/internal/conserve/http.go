package conserve

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// ReadHTTP enters every slice that a ledger serves under base for which want is true (nil: all): GET /streams, then each slice of each
// stream by GET. Slices inside a declared gap are not asked for.
func (b *Book) ReadHTTP(ctx context.Context, client *http.Client, base string, want func(Stream) bool) error {
	var streams []struct {
		Writer, Tenant, Dimension string
		Tip                       struct{ Seq string }
		Gaps                      []struct{ From, To json.RawMessage }
	}
	body, err := get(ctx, client, base+"/streams")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &streams); err != nil {
		return fmt.Errorf("%s/streams: %w", base, err)
	}
	for _, s := range streams {
		writer, err1 := hex.DecodeString(s.Writer)
		tenant, err2 := hex.DecodeString(s.Tenant)
		tip, err3 := strconv.ParseUint(s.Tip.Seq, 10, 63)
		if err1 != nil || err2 != nil || err3 != nil || len(writer) != 16 || len(tenant) != 16 {
			return fmt.Errorf("%s/streams: malformed stream %q/%q/%q tip %q", base, s.Writer, s.Tenant, s.Dimension, s.Tip.Seq)
		}
		if want != nil && !want(Stream{[16]byte(writer), [16]byte(tenant), s.Dimension}) {
			continue
		}
		skip := map[uint64]uint64{}
		for _, g := range s.Gaps {
			from, err1 := seq(g.From)
			to, err2 := seq(g.To)
			if err1 != nil || err2 != nil {
				return fmt.Errorf("%s/streams: malformed gap %s to %s", base, g.From, g.To)
			}
			skip[from] = to
		}
		path := fmt.Sprintf("%s/slices/%s/%s/%s/", base, s.Writer, s.Tenant, url.PathEscape(s.Dimension))
		for n := uint64(0); n <= tip; n++ {
			if to, ok := skip[n]; ok {
				n = to
				continue
			}
			body, err := get(ctx, client, path+strconv.FormatUint(n, 10))
			if err != nil {
				return err
			}
			if err := b.Add(body); err != nil {
				return fmt.Errorf("%s%d: %w", path, n, err)
			}
		}
	}
	return nil
}

// seq reads a decimal that may stand in quotes.
func seq(raw json.RawMessage) (uint64, error) {
	s := string(raw)
	if u, err := strconv.Unquote(s); err == nil {
		s = u
	}
	return strconv.ParseUint(s, 10, 63)
}

// maxBody bounds what one answer may bring: the streams of a large ledger.
const maxBody = 256 << 20

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %.200s", url, resp.Status, body)
	}
	return body, nil
}
