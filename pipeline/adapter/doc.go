// Package adapter is the way in over HTTP for those who can't link the library: services in other languages, edge nodes.
//
//	POST /export    one sealed slice → 202 {"ack":"ok"|"dup","seq","b3"}; held durably from then on (package ingress)
//	POST /record    a batch of increments, JSON or CBOR, with Idempotency-Key → 200 {"ack":"ok"|"dup","results":["ok",…]}
//	GET  /readyz, /healthz, /livez
//	GET  /metrics   on a listener of its own
//
// Every refusal is a problem document (package problem) with a code, is counted in accounting_adapter_requests_total{route,code},
// and names no secret and nothing of a body but the place of the fault.
//
// # The way of a request
//
// The listener bounds connections; net/http the header (16 KiB, 5 s), the body (5 s) and the answer (5 s). Then: who is it (token
// or peer), may it come here (path, aud, exp), is there room for its body (all bodies together, and a half of that for one
// principal), does the media type fit; then the body is read with its caps enforced on the way, decoded strictly, and its tenant and
// dimension are compared with the token's. Only then it costs more than its own bytes.
//
// # Memory
//
// Bodies are read into buffers of five sizes that are used again. A buffer goes with its slice until that is exported, or is
// only in the staging log. What may be in flight is bounded by Options.MaxInflightBytes.
package adapter
