package accounting_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestHotPathIsInlined: Record and Counter.Add disappear into their callers, and Record's key stays on the stack: a second copy of
// 40 bytes just written would cost more than the rest of the call.
func TestHotPathIsInlined(t *testing.T) {
	b, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	out := string(b)
	for _, want := range []string{"can inline (*Recorder).Record\n", "can inline Counter.Add\n", "inlining call to shardmap.(*Wide).Record\n", "inlining call to table.(*Handle).Count\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the compiler does not say: %s", want)
		}
	}
	line := regexp.MustCompile(`(accounting\.go:\d+):\d+: can inline \(\*Recorder\)\.Record\n`).FindStringSubmatch(out)
	if line == nil {
		t.Fatalf("Record's line is not in the compiler's output")
	}
	if m := regexp.MustCompile(regexp.QuoteMeta(line[1]) + `:\d+: (moved to heap|leaking param: k).*`).FindString(out); m != "" {
		t.Errorf("Record's key escapes: %s", m)
	}
}
