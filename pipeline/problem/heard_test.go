package problem

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// An answer that took longer than the write timeout to make reaches the client all the same.
func TestLateAnswerIsHeard(t *testing.T) {
	const write = 50 * time.Millisecond
	s := httptest.NewUnstartedServer(Heard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * write)
		_, _ = io.WriteString(w, "late")
	}), write))
	s.Config.WriteTimeout = write
	s.Start()
	defer s.Close()
	res, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); string(b) != "late" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}
