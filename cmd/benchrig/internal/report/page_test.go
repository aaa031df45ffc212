package report

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ron-accounting/ron-accounting/cmd/benchrig/internal/result"
)

// example is a run with everything that a page can show: faults, a WAL, a level missed, long numbers.
func example() *result.Result {
	r := &result.Result{Workload: "w4", Profile: "macronode", DurationS: 1800, Notes: []string{"degraded for want of [exporter_ok]", "<b>not markup</b>"}}
	r.Host.CPU, r.Host.Commit = "A processor with a long name, 64 cores @ 3.2 GHz", strings.Repeat("c0ffee", 6)
	r.Rate.Offered, r.Rate.Achieved = 1e5, 1e5
	r.WAL.Enabled, r.WAL.Fsyncs = true, 123456
	r.Export.Retries = map[string]uint64{"network": 3237, "remote_5xx": 4170}
	r.Config = map[string]any{"chaos": "5xx=0.1-0.3,tail=0.1:200ms-800ms,fsync=2ms-8ms,outage=5s@10s", "window": "1s"}
	c := &r.Conservation
	c.Recorded, c.Open, c.Pending, c.Acked, c.Gap, c.Saturated, c.Rejected = "18446744073709551615", "0", "0", "18446744073709551615", "0", "0", "0"
	c.Ledger, c.Lost, c.Double, r.Record.Units = c.Acked, "0", "0", c.Acked
	for i := range 600 {
		r.Series = append(r.Series, result.Point{T: float64(i), Rate: 1e5, ExportMS: float64(i % 90), Ready: i%50 != 0})
	}
	r.Judge(true)
	return r
}

// A page holds every figure, escapes what it is given and asks nothing of the network.
func TestPage(t *testing.T) {
	b, err := Page([]*result.Result{example(), example()}, Flame{Title: "flames", Graph: "<p>graph</p>"})
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, want := range []string{"18\u202f446\u202f744\u202f073\u202f709\u202f551\u202f615", "export_<wbr>p99_<wbr>ms", "WAL on disk", "&lt;b&gt;not markup", "<p>graph</p>", "@media print", "faults injected"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if found := regexp.MustCompile(`(?i)(src|href)\s*=|url\(|@import|https?:`).FindString(page); found != "" {
		t.Errorf("the page asks for something: %q", found)
	}
}

// On a phone nothing but the tables, each in a frame of its own, is wider than the screen, and of the service levels no column is out of sight. BENCHRIG_BROWSER names a chromium.
func TestPageFitsAPhone(t *testing.T) {
	browser := os.Getenv("BENCHRIG_BROWSER")
	if browser == "" {
		t.Skip("BENCHRIG_BROWSER is not set: not run in a browser")
	}
	page, err := Page([]*result.Result{example()})
	if err != nil {
		t.Fatal(err)
	}
	const probe = `<script>parent.document.title = "widths " + document.documentElement.scrollWidth + " of " + innerWidth + ", levels " + (document.querySelector(".levels").scrollWidth - document.querySelector(".levels").clientWidth)</script></body>`
	dir := t.TempDir()
	// A headless window is never narrower than 500: the phone is a frame.
	for name, text := range map[string]string{
		"page.html":  strings.Replace(string(page), "</body>", probe, 1),
		"phone.html": `<!doctype html><title>none</title><iframe src="page.html" style="border:0;width:390px;height:800px"></iframe>`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dom, err := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--allow-file-access-from-files", "--virtual-time-budget=2000", "--user-data-dir="+t.TempDir(), "--dump-dom",
		"file://"+filepath.Join(dir, "phone.html")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(dom), "<title>widths 390 of 390, levels 0</title>") {
		t.Errorf("want 390 of 390 and levels 0: %.200s", dom)
	}
}
