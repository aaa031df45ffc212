//go:build linux && (amd64 || arm64) && !race && !purego

package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

const asChild = "RON_ACC_TEST_CRASH_CHILD"

// TestMain makes the test's own program the child.
func TestMain(m *testing.M) {
	if v := os.Getenv(asChild); v != "" {
		var c Child
		err := json.Unmarshal([]byte(v), &c)
		if err == nil {
			err = c.Run(context.Background(), os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func options(iterations int) Options {
	return Options{Iterations: iterations, Seed: 5, Command: func(c *Child) *exec.Cmd {
		b, err := json.Marshal(c)
		if err != nil {
			panic(err) // plain fields
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asChild+"="+string(b))
		return cmd
	}}
}

// TestProofFindsWhatIsWrong: a unit that nobody counted, and one too many, are found, in both proofs.
func TestProofFindsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name         string
		bend         func(least, most []uint64)
		lost, double string
	}{
		{"nothing", nil, "0", "0"},
		{"lost", func(least, most []uint64) { least[7], most[7] = most[7]+3, most[7]+3 }, "3", "0"},
		{"double", func(least, most []uint64) { least[7]--; most[7] = least[7] }, "0", "1"},
	} {
		o := options(6)
		o.bend = c.bend
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Pass != (c.bend == nil) {
			t.Errorf("%s: pass is %v", c.name, r.Pass)
		}
		for _, p := range []Proof{r.AtKill, r.Drained} {
			if c.name == "nothing" && (p.Lost != "0" || p.Double != "0") || c.name == "lost" && p.Lost == "0" || c.name == "double" && p.Double == "0" {
				t.Errorf("%s: lost %s, double %s, want %s and %s", c.name, p.Lost, p.Double, c.lost, c.double)
			}
		}
	}
}

// TestDirectoryOfAnEarlierRunIsRefused: its ledger would count as doubled.
func TestDirectoryOfAnEarlierRunIsRefused(t *testing.T) {
	o := options(1)
	o.Dir = t.TempDir()
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); err == nil {
		t.Error("it was taken")
	}
}
