package adapter

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

const (
	maxBody   = canon.MaxBytes // on the wire, and after decompression
	maxRatio  = 10             // decompressed / compressed
	maxWindow = 2 << 20        // of zstd: twice what a body may have; a decoder holds as much
)

// The reasons of rejected_total that a body can be refused for.
const (
	reasonOversize   = "oversize"
	reasonDecompress = "decompress_cap"
	reasonRatio      = "ratio_cap"
)

// mediaType returns the body's type where it is among those that are taken.
func mediaType(h http.Header, taken ...string) (string, *refusal) {
	got, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err == nil {
		for _, t := range taken {
			if got == t {
				return t, nil
			}
		}
	}
	return "", refuse(problem.Type, "", "Content-Type: got %.100q, want %v", h.Get("Content-Type"), taken)
}

// receive reads a body of at most 1 MiB, decompressed where it says so. The caller frees the buffer.
func receive(w http.ResponseWriter, r *http.Request) (*buffer, *refusal) {
	if r.ContentLength > maxBody {
		return nil, refuse(problem.Oversize, reasonOversize, "got %d bytes, want at most %d", r.ContentLength, maxBody)
	}
	in := &counted{r: http.MaxBytesReader(w, r.Body, maxBody)}
	var src io.Reader
	hint := 16 << 10
	ratio := false
	switch coding := strings.ToLower(r.Header.Get("Content-Encoding")); coding {
	case "", "identity":
		src = in
		if r.ContentLength >= 0 {
			hint = int(r.ContentLength) + 1
		}
	case "gzip":
		z, _ := gzips.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		defer gzips.Put(z)
		if err := z.Reset(in); err != nil {
			return nil, badBody(err, 0)
		}
		z.Multistream(false)
		src, ratio = z, true
	case "zstd":
		z, _ := zstds.Get().(*zstd.Decoder)
		if z == nil {
			z, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		}
		defer func() {
			_ = z.Reset(nil) // lets go of the request
			zstds.Put(z)
		}()
		if err := z.Reset(in); err != nil {
			return nil, badBody(err, 0)
		}
		src, ratio = z, true
	default:
		return nil, refuse(problem.Type, "", "Content-Encoding: got %.40q, want gzip, zstd or none", coding)
	}
	return fill(src, in, getBuffer(min(hint, maxBody+1)), ratio)
}

var (
	gzips sync.Pool // *gzip.Reader
	zstds sync.Pool // *zstd.Decoder, without goroutines
)

// fill reads src to its end into b, which it frees where it fails.
func fill(src io.Reader, in *counted, b *buffer, ratio bool) (*buffer, *refusal) {
	fail := func(f *refusal) (*buffer, *refusal) {
		b.free()
		return nil, f
	}
	for {
		if len(b.b) == cap(b.b) {
			b = b.grow() // never beyond the largest: it is refused below before it is full
		}
		n, err := src.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		if len(b.b) > maxBody {
			return fail(refuse(problem.Oversize, reasonDecompress, "got more than %d bytes after decompression", maxBody))
		}
		if ratio && int64(len(b.b)) > maxRatio*in.n {
			return fail(refuse(problem.Oversize, reasonRatio, "got a ratio of more than %d after %d compressed bytes", maxRatio, in.n))
		}
		switch {
		case err == io.EOF && ratio && in.trailing():
			return fail(refuse(problem.Schema, "", "bytes follow the compressed body"))
		case err == io.EOF:
			return b, nil
		case err != nil:
			return fail(badBody(err, len(b.b)))
		}
	}
}

func badBody(err error, after int) *refusal {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(problem.Oversize, reasonOversize, "got more than %d bytes", maxBody)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return refuse(problem.Oversize, reasonDecompress, "zstd: got a window or a frame of more than %d bytes", maxWindow)
	}
	return refuse(problem.Schema, "", "the body ended early or its coding is damaged, after %d bytes", after)
}

// counted counts what was read of the body as it came. It is an io.ByteReader, so that gzip reads nothing ahead of its end.
type counted struct {
	r    io.Reader
	n    int64
	buf  [4096]byte
	fill []byte
	err  error
}

func (c *counted) more() {
	if len(c.fill) == 0 && c.err == nil {
		var n int
		n, c.err = c.r.Read(c.buf[:])
		c.fill = c.buf[:n]
		c.n += int64(n)
	}
}

// Read implements io.Reader: large reads go straight to the body.
func (c *counted) Read(p []byte) (int, error) {
	if len(c.fill) == 0 && c.err == nil && len(p) >= len(c.buf) {
		n, err := c.r.Read(p)
		c.n += int64(n)
		c.err = err
		return n, err
	}
	c.more()
	if len(c.fill) == 0 {
		return 0, c.err
	}
	n := copy(p, c.fill)
	c.fill = c.fill[n:]
	return n, nil
}

// ReadByte implements io.ByteReader.
func (c *counted) ReadByte() (byte, error) {
	c.more()
	if len(c.fill) == 0 {
		return 0, c.err
	}
	b := c.fill[0]
	c.fill = c.fill[1:]
	return b, nil
}

// trailing reports whether the body goes on.
func (c *counted) trailing() bool {
	for len(c.fill) == 0 && c.err == nil {
		c.more()
	}
	return len(c.fill) > 0
}
