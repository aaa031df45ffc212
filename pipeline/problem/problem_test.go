package problem

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	for _, p := range []*Problem{
		New(Schema, "offset %d", 7),
		{Code: Busy, RetryAfter: 1500 * time.Millisecond},
		{Code: NotReady, Missing: []string{"wal_ok"}, RetryAfter: time.Second},
		{Code: Gap, Refusal: &Refusal{}},
		{Code: Conflict, Detail: "d", Refusal: &Refusal{ExpectedSeq: 1<<64 - 1, Tip: &Tip{Seq: 1<<64 - 2}}},
	} {
		w := httptest.NewRecorder()
		Write(w, p)
		if w.Code != p.Code.Status() || w.Header().Get("Content-Type") != MediaType {
			t.Fatalf("%v: status %d, type %q", p, w.Code, w.Header().Get("Content-Type"))
		}
		var got Problem
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := *p
		want.RetryAfter = want.RetryAfter.Truncate(time.Second)
		if p.RetryAfter%time.Second != 0 {
			want.RetryAfter += time.Second // rounded up on the wire
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v, in %s", got, want, w.Body)
		}
	}
}

func TestGolden(t *testing.T) {
	p := &Problem{Code: Gap, Detail: "no", Refusal: &Refusal{ExpectedSeq: 4, Tip: &Tip{Seq: 3}}}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"type":"about:blank","title":"Conflict","status":409,"code":"gap","detail":"no","expected_seq":"4",` +
		`"tip":{"seq":"3","b3":"b3:0000000000000000000000000000000000000000000000000000000000000000"}}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"code":"gap","expected_seq":"4","tip":null,"retry_after":99999999999}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Problem
		if json.Unmarshal(b, &p) != nil {
			return
		}
		again, err := json.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		var q Problem
		if err := json.Unmarshal(again, &q); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
