//go:build linux || darwin

package asm

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// TestStacksOfBefore runs TestMovingStacks where the stacks that were moved away from can't be touched any more: a pointer that was left behind
// mostly finds there what it looks for.
func TestStacksOfBefore(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestMovingStacks$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=efence=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%.3000s", err, out)
	}
	for _, v := range Variants() {
		if !bytes.Contains(out, []byte("--- PASS: TestMovingStacks/"+v.Name+" ")) {
			t.Errorf("variant %s did not run:\n%.3000s", v.Name, out)
		}
	}
}
