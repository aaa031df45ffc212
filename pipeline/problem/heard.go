package problem

import (
	"io"
	"net/http"
	"time"
)

// drainMost is how much of a body that nobody read is read before an answer: four times what a slice may have.
const drainMost = 4 << 20

// Heard is h for a server with that write timeout, such that its clients can take their answers: what they still send is read, and the timeout begins
// anew where much of it is gone by the time of the answer. (net/http begins it with the request's head: who sends slowly, or waits for a slow disk,
// would have less, or nothing.)
func Heard(h http.Handler, write time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		h.ServeHTTP(w, r)
		drain(r)
		if time.Since(start) > write/4 {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(write)) // the connection may be gone
		}
	})
}

// drain reads what a handler has left of a request's body: over HTTP/1 most clients send all of it before they read, and where the connection ends before
// that they see it broken and no answer. It ends with the body, after 4 MiB, or at the server's read timeout; who waits for 100 Continue is answered at once.
func drain(r *http.Request) {
	if r.ProtoMajor == 1 && r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, drainMost) // what fails here fails the answer too
	}
}
