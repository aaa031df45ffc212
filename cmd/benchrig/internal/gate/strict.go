package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxFile bounds the files that the gate reads.
const maxFile = 16 << 20

// readJSON reads a file into v, refusing unknown fields, trailing bytes and files beyond maxFile; every error is of kind and names the path.
func readJSON(path string, v any, kind error) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.Join(kind, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return errors.Join(kind, err)
	}
	if len(b) > maxFile {
		return fmt.Errorf("%w: %s: larger than %d bytes", kind, path, maxFile)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %s: %w", kind, path, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: %s: more after the end of the object", kind, path)
	}
	return nil
}
