package adapter

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/problem"
)

// alive answers /healthz and /livez: the process takes requests.
func alive(w http.ResponseWriter, _ *http.Request) (string, *refusal) {
	writeJSON(w, http.StatusOK, []byte("{\"ok\":true}\n"))
	return "ok", nil
}

// readyz answers with what is amiss in the recorder and in the queue.
func (a *Adapter) readyz(w http.ResponseWriter, _ *http.Request) (string, *refusal) {
	missing := a.o.Queue.Missing()
	wait := 15 * time.Second
	if a.o.Readiness != nil {
		ready := a.o.Readiness()
		for _, k := range ready.Missing {
			if !slices.Contains(missing, k) {
				missing = append(missing, k)
			}
		}
		if ready.RetryAfter > 0 {
			wait = ready.RetryAfter
		}
	}
	if len(missing) == 0 {
		writeJSON(w, http.StatusOK, []byte("{\"degraded\":false,\"missing\":[]}\n"))
		return "ok", nil
	}
	seconds := int64(math.Ceil(wait.Seconds()))
	b, err := json.Marshal(struct {
		Degraded   bool                `json:"degraded"`
		Missing    []pipeline.ReadyKey `json:"missing"`
		RetryAfter int64               `json:"retry_after"`
		Code       problem.Code        `json:"code"`
		Status     int                 `json:"status"`
	}{true, missing, seconds, problem.NotReady, http.StatusServiceUnavailable})
	if err != nil {
		return "", refuse(problem.Internal, "", "an internal error")
	}
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	writeJSON(w, http.StatusServiceUnavailable, append(b, '\n'))
	return string(problem.NotReady), nil
}
