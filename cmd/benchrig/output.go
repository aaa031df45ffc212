package main

// Files that a command is asked to write: looked at before it measures, written at its end.

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// writable refuses a file that can't be written, before the work whose findings would be lost. It leaves nothing behind.
func writable(path string) error {
	if path == "" || path == "-" {
		return nil
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil // a device or a pipe: opening it may wait
	}
	fresh := os.IsNotExist(err)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("can't be written: %w", err)
	}
	if err := f.Close(); err != nil || !fresh {
		return err
	}
	return os.Remove(path)
}

// writeDoc writes doc as indented JSON to the file, - for w; "" writes nothing.
func writeDoc(path string, doc any, w io.Writer) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if path == "-" {
		_, err = w.Write(b)
		return err
	}
	return os.WriteFile(path, b, 0o644)
}
