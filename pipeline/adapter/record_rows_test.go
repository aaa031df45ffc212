package adapter_test

import (
	"strings"
	"testing"
)

// Each faulty row of a batch is named, also where an id or the units can't be read, in both encodings; and then none counts.
func TestFaultyRowsAreNamed(t *testing.T) {
	r := start(t, nil)
	const id = `"000000000000000000000000000000aa"`
	row := func(tenant, subject, inc string) string {
		return `{"tenant":` + tenant + `,"dimension":"bytes","subject":` + subject + `,"inc":` + inc + `}`
	}
	body := `{"rows":[` + strings.Join([]string{row(id, id, `"5"`), row(`"AA"`, id, `"5"`), row(id, `7`, `"5"`), row(id, id, `"05"`), row(id, id, `5`), row(id, id, `null`)}, ",") + `]}`
	want := []string{`{"row":1,"code":"schema","detail":"tenant: `, `{"row":2,"code":"schema","detail":"subject: `, `{"row":3,"code":"schema","detail":"inc: `,
		`{"row":4,"code":"schema","detail":"inc: `, `{"row":5,"code":"schema","detail":"want tenant`}
	a := r.do(r.http, "POST", r.base+"/record", []byte(body), hdr{"Content-Type": "application/json", "Idempotency-Key": "k", "Authorization": "Bearer " + r.token()})
	for _, w := range want {
		if !strings.Contains(a.body, w) {
			t.Errorf("got %s, want %s", a.body, w)
		}
	}
	if a.status != 400 || a.code != "schema" || strings.Contains(a.body, `"row":0`) || r.counts.total() != 0 {
		t.Errorf("%+v, counted %d", a, r.counts.total())
	}

	// {"rows": [{"inc": -1, "tenant": 15 bytes, "subject": 16 bytes, "dimension": "bytes"}, the same with inc 2^64-1 and a tenant of 16]}
	item := func(inc, tenant string) string {
		return "\xa4\x63inc" + inc + "\x66tenant" + tenant + "\x67subject\x50" + strings.Repeat("s", 16) + "\x69dimension\x65bytes"
	}
	cbor := "\xa1\x64rows\x82" + item("\x20", "\x50"+strings.Repeat("t", 16)) + item("\x1b"+strings.Repeat("\xff", 8), "\x4f"+strings.Repeat("t", 15))
	a = r.do(r.http, "POST", r.base+"/record", []byte(cbor), hdr{"Content-Type": "application/cbor", "Idempotency-Key": "k", "Authorization": "Bearer " + r.token()})
	if a.status != 400 || !strings.Contains(a.body, `{"row":0,"code":"schema","detail":"inc: `) || !strings.Contains(a.body, `{"row":1,"code":"schema","detail":"tenant: `) || r.counts.total() != 0 {
		t.Errorf("%+v, counted %d", a, r.counts.total())
	}
}

// A member that comes twice, or in another case, is refused: which of the two would count?
func TestMembersComeOnce(t *testing.T) {
	r := start(t, nil)
	const id = `"000000000000000000000000000000aa"`
	send := func(key, body string) answer {
		return r.do(r.http, "POST", r.base+"/record", []byte(body), hdr{"Content-Type": "application/json", "Idempotency-Key": key, "Authorization": "Bearer " + r.token()})
	}
	row := `{"tenant":` + id + `,"dimension":"bytes","ns":1,"subject":` + id + `,"inc":"5"}`
	for _, body := range []string{
		`{"rows":[` + row + `],"rows":[` + row + `]}`, `{"rows":[` + row + `],"rows":[{}]}`, `{"Rows":[` + row + `]}`,
		`{"rows":[` + strings.Replace(row, `"inc"`, `"inc" : null, "inc"`, 1) + `]}`, `{"rows":[` + strings.Replace(row, `"inc"`, `"INC":"7","inc"`, 1) + `]}`,
		`{"rows":[` + strings.Replace(row, `"ns"`, `"ns":2,"ns"`, 1) + `]}`, `{"rows":[` + strings.Replace(row, `"bytes"`, `"bytes","dimension":"cpu"`, 1) + `]}`,
		`{"rows":[` + strings.Replace(row, `"tenant"`, `"\u0074enant"`, 1) + `]}`, `{"rows":[` + strings.Replace(row, `"5"`, `{"inc":{}}`, 1) + `]}`,
	} {
		if a := send("k", body); a.status != 400 || a.code != "schema" || r.counts.total() != 0 {
			t.Errorf("%s: got %+v, counted %d", body, a, r.counts.total())
		}
	}
	other := strings.Replace(row, `"ns"`, `"ns" `+"\n\t", 1)
	if a := send("k", ` {"rows" : [`+row+`, `+other+`] } `); a.status != 200 || r.counts.total() != 10 {
		t.Errorf("got %+v, counted %d, want 10", a, r.counts.total())
	}
}

// What is of the wrong kind is named by its place and kind, without repeating it.
func TestWrongKindsAreNamed(t *testing.T) {
	r := start(t, nil)
	for body, want := range map[string]string{
		`[]`: "the document: got array, want object, at offset 1",
		`{"rows":[{"ns":` + strings.Repeat("7", 1000) + `}]}`: "rows.ns: got number, want uint32, at offset 1015",
		`{"rows":[{"ns":"7"}]}`:                               "rows.ns: got string, want uint32, at offset 18",
	} {
		a := r.do(r.http, "POST", r.base+"/record", []byte(body), hdr{"Content-Type": "application/json", "Idempotency-Key": "k", "Authorization": "Bearer " + r.token()})
		if a.status != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%.20s: got %s, want %s", body, a.body, want)
		}
	}
}
