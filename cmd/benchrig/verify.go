package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ron-accounting/ron-accounting/pipeline/ledger"
)

func newVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify PATH",
		Short: "Walk every chain of a WAL directory, a ledger file or a CAR file and name the first break",
		Long: `Verify reads PATH without changing it: a WAL's directory, a ledger file, a CAR file or a directory of them, whichever it is. It decodes each
slice strictly, hashes it anew and follows its stream's chain.

Exit codes: 0 whole; 1 could not be read; 2 wrong usage; 3 a chain is broken.`,
		Example: `  benchrig verify ledger.db`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return verify(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// verify finds out what path is and walks it. Where that takes long errs hears how far it is.
func verify(ctx context.Context, path string, w, errs io.Writer) error {
	kind, err := kindOf(path)
	if err != nil {
		return err
	}
	switch kind {
	case "car":
		return verifyCAR(ctx, path, w, newProgress(errs))
	case "wal":
		return verifyWAL(path, w)
	}
	return verifyLedger(ctx, path, w, newProgress(errs))
}

// kindOf tells a WAL's directory (wal), a CARv1 file or a directory of them (car), and a bbolt file (ledger) apart.
func kindOf(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		if names, _ := filepath.Glob(filepath.Join(path, "*.wal*")); len(names) > 0 {
			return "wal", nil
		}
		if len(carFiles(path)) > 0 {
			return "car", nil
		}
		return "", usagef("%s is a directory without a WAL or CAR files: want a WAL's directory, a ledger file, a CAR file or a directory of them", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var head [64]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && n == 0 {
		return "", fmt.Errorf("%s: empty: want a ledger file or a CAR file", path)
	}
	if looksLikeCAR(head[:n]) {
		return "car", nil
	}
	return "ledger", nil // whose own check says what else it may be
}

func verifyLedger(ctx context.Context, path string, w io.Writer, p *progress) error {
	r, err := ledger.VerifyTelling(ctx, path, p.tell)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: ledger, %d streams, %d slices, %d bytes, %d declared gaps\n", path, r.Streams, r.Slices, r.Bytes, r.Gaps)
	breaks := make([]string, len(r.Breaks))
	for i, b := range r.Breaks {
		breaks[i] = b.String()
	}
	return sayBreaks(w, breaks)
}

// maxBreaks bounds how many breaks are printed.
const maxBreaks = 10

// sayBreaks prints the breaks found and makes them the exit code.
func sayBreaks(w io.Writer, breaks []string) error {
	if len(breaks) == 0 {
		fmt.Fprintln(w, "every chain holds")
		return nil
	}
	for i, b := range breaks {
		if i == maxBreaks {
			fmt.Fprintf(w, "and %d more\n", len(breaks)-i)
			break
		}
		fmt.Fprintln(w, "BROKEN", b)
	}
	return exitWith(exitLoss, fmt.Errorf("verify: %d broken chains; the first: %s", len(breaks), breaks[0]))
}
