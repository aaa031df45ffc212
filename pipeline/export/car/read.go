package car

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/vfs"
)

// Entry is one slice of an archive and where it stands. The slice owns its bytes.
type Entry struct {
	File   string // path
	Offset int64  // of its section
	Slice  canon.SealedSlice
}

// Slices reads an archive without its lock and without writing: path is a CAR file or a directory of them. Entries come in the order of
// arrival, so each stream's in the order of its chain (walk it with canon.Chain); a slice may come twice in a row of its stream
// after a failed sync. It ends with an error where the bytes are not a whole archive, at a torn end too.
func Slices(path string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		files := []string{path}
		if info, err := os.Stat(path); err != nil {
			yield(Entry{File: path}, err)
			return
		} else if info.IsDir() {
			numbers, err := list(vfs.OS, path)
			if err != nil {
				yield(Entry{File: path}, err)
				return
			}
			files = files[:0]
			for _, n := range numbers {
				files = append(files, filepath.Join(path, fileName(n)))
			}
		}
		for _, name := range files {
			if !readFile(name, yield) {
				return
			}
		}
	}
}

func readFile(name string, yield func(Entry, error) bool) bool {
	f, err := vfs.OS.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return yield(Entry{File: name}, err)
	}
	defer f.Close()
	_, err = walk(f, func(at int64, s canon.SealedSlice) error {
		if !yield(Entry{File: name, Offset: at, Slice: s}, nil) {
			return errStop
		}
		return nil
	})
	switch {
	case err == nil:
		return true
	case errors.Is(err, errStop):
		return false
	}
	yield(Entry{File: name}, fmt.Errorf("%s: %w", name, err))
	return false
}

var errStop = errors.New("accounting/car: stop")

// walk calls fn with every slice of f and returns the offset behind the last whole section.
func walk(f vfs.File, fn func(at int64, s canon.SealedSlice) error) (good int64, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 1<<18)
	src := &source{r: r, in: r}
	if err := src.header(); err != nil {
		if err == io.EOF {
			err = errTorn // no file is without a header
		}
		return 0, fmt.Errorf("offset 0: %w", err)
	}
	for {
		good = src.off
		s, err := src.slice()
		if err == io.EOF {
			return good, nil
		}
		if err == nil {
			err = fn(good, s)
		}
		if err != nil {
			return good, fmt.Errorf("offset %d: %w", good, err)
		}
	}
}

// holdsSlice reports whether a whole slice stands behind offset at, where a section claims to be longer than what is left: a torn write leaves
// none, a damaged length does.
func holdsSlice(f vfs.File, at int64) (bool, error) {
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	b := make([]byte, min(size-at, int64(maxSection)+4))
	if _, err := f.ReadAt(b, at); err != nil && err != io.EOF {
		return false, err
	}
	for i := bytes.Index(b, []byte(cidPrefix)); i >= 0; {
		rest := b[i:]
		lengths := []int{len(rest)} // the last one has nothing behind it
		for k := 1; k <= min(i, 4); k++ {
			if n, used := binary.Uvarint(b[i-k : i]); used == k && n <= uint64(len(rest)) {
				lengths = append(lengths, int(n))
			}
		}
		for _, n := range lengths {
			if n < cidSize {
				continue
			}
			v, err := canon.View(rest[cidSize:n])
			if d := v.Digest(); err == nil && string(d[:]) == string(rest[len(cidPrefix):cidSize]) {
				return true, nil
			}
		}
		next := bytes.Index(rest[1:], []byte(cidPrefix))
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return false, nil
}

// list returns the numbers of the archive's files, ascending.
func list(fsys vfs.FS, dir string) ([]uint64, error) {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, name := range names { // sorted, and the numbers have leading zeros
		if digits, ok := strings.CutSuffix(name, ".car"); ok && len(digits) == 8 {
			if n, err := strconv.ParseUint(digits, 10, 64); err == nil && n > 0 {
				out = append(out, n)
			}
		}
	}
	return out, nil
}

func fileName(n uint64) string { return fmt.Sprintf("%08d.car", n) }
