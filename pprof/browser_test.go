package pprof

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestPagesInABrowser renders the page and the SVG in the browser that BENCHRIG_BROWSER names (a chromium) and looks at what its
// scripts made of them. RON_ACC_SCREENSHOTS=DIR keeps pictures. CI names one where the machine has it.
func TestPagesInABrowser(t *testing.T) {
	browser := os.Getenv("BENCHRIG_BROWSER")
	if browser == "" {
		t.Skip("BENCHRIG_BROWSER is not set: not run in a browser")
	}
	dir := t.TempDir()
	g, err := NewGraph(synthetic(pair[1]...), GraphOptions{Title: "cpu", ByStage: true})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Diff(synthetic(pair[0]...), synthetic(pair[1]...), GraphOptions{Title: "difference"}, true)
	if err != nil {
		t.Fatal(err)
	}
	var page, svg bytes.Buffer
	if err := (Page{Title: "Test", Subtitle: "synthetic", Graphs: []*Graph{g, d}}).WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := g.WriteSVG(&svg); err != nil {
		t.Fatal(err)
	}
	// The probe acts like a person: it searches and zooms, then leaves what it saw in the document's title.
	probe := `<script>setTimeout(function(){var s=document.querySelector(".ronflame"),i=s.querySelector("input");
i.value="seal";i.dispatchEvent(new Event("input"));var m=s.querySelectorAll(".fr.m").length,h=s.querySelector(".hit").textContent;
s.querySelectorAll("[role=tab]")[1].click();var rows=s.querySelectorAll("tbody tr").length;
s.querySelectorAll(".fr")[1].click();var up=s.querySelectorAll(".fr.up").length;
document.title="probe: matched "+m+" ["+h+"] rows "+rows+" up "+up},50)</script></body>`
	// The page's own policy allows inline scripts only, which the probe is.
	write(t, filepath.Join(dir, "page.html"), strings.Replace(page.String(), "</body>", probe, 1))
	write(t, filepath.Join(dir, "plain.html"), page.String())
	write(t, filepath.Join(dir, "graph.svg"), svg.String())

	dom := browse(t, browser, dir, "page.html", "--dump-dom")
	got := regexp.MustCompile(`<title>(probe: .*?)</title>`).FindStringSubmatch(dom)
	want := "probe: matched 2 [2 frames, 76.34 %] rows 5 up 1"
	if got == nil || got[1] != want {
		t.Errorf("the page after searching and zooming: got %q, want %q", got, want)
	}
	if dom := browse(t, browser, dir, "graph.svg", "--dump-dom"); strings.Count(dom, `class="f"`) < 5 {
		t.Errorf("the SVG shows too few frames:\n%.300s", dom)
	}
	if shots := os.Getenv("RON_ACC_SCREENSHOTS"); shots != "" {
		browse(t, browser, dir, "plain.html", "--screenshot="+filepath.Join(shots, "flame-page.png"))
		browse(t, browser, dir, "graph.svg", "--screenshot="+filepath.Join(shots, "flame-svg.png"))
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func browse(t *testing.T, browser, dir, file string, do ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--window-size=1280,900", "--virtual-time-budget=2000",
		"--user-data-dir=" + t.TempDir()}, do...)
	out, err := exec.CommandContext(ctx, browser, append(args, "file://"+filepath.Join(dir, file))...).Output()
	if err != nil {
		t.Fatalf("%s: %v", browser, err)
	}
	return string(out)
}
