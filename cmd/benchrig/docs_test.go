package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documented finds benchrig's command lines in a document: in code blocks and, with benchrig or go run first, between backticks.
var documented = regexp.MustCompile("(?m)(?:^\\s*|`)(?:go run \\./cmd/benchrig|benchrig) ([a-z][^`\n]*)")

// Every command of the README and of docs/PERFORMANCE.md runs, with short loads.
func TestDocumentedCommands(t *testing.T) {
	if raceEnabled {
		t.Skip("minutes under the race detector, which sees the same commands in TestExamples")
	}
	var lines []string
	for _, doc := range []string{"../../README.md", "../../docs/PERFORMANCE.md"} {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		found := documented.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s has no command", doc)
		}
		for _, f := range found {
			if !slices.Contains(lines, f[1]) {
				lines = append(lines, f[1])
			}
		}
	}
	t.Chdir(t.TempDir())
	fakeRepo(t)
	if err := os.WriteFile("w2.json", []byte(`{"workload":"W2","tenants":10}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		switch {
		case strings.HasSuffix(line, "--baseline FILE"): // after --write-baseline, whose file the example takes
		case strings.HasSuffix(line, "REF"):
			line = strings.Replace(line, "REF", "HEAD~1", 1)
		case strings.HasPrefix(line, "crash"), strings.HasPrefix(line, "verify"), strings.HasPrefix(line, "adopt"), strings.HasPrefix(line, "replay"):
			continue // their own tests run them
		}
		line = strings.Replace(line, "--write-baseline DIR", "--write-baseline testing/performance/baselines", 1)
		if strings.HasPrefix(line, "capture") && !strings.Contains(line, "--out") {
			line = strings.Replace(line, " -- ", " --out captures -- ", 1)
		}
		if line == "run" || line == "bench" {
			continue // a mention, not a command
		}
		example(t, strings.Fields(line))
	}
	t.Logf("%d commands", len(lines))
}
