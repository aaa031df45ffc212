// Package oracle checks this module's bytes with code that is not its own: fxamacker/cbor and go-ipld-prime for slices, go-car and
// go-ipld-prime for archives and blocks.
//
// It also writes the test vectors of package canon, which canon's tests only read. To regenerate them after a change of the cases:
//
//	cd testing/performance/oracle && go test -run TestVectors -update
//
// Without -update the same test fails where the files are not what the encoders write. To fuzz both directions against both peers:
//
//	go test -run '^$' -fuzz FuzzEncode -fuzztime 30s
//	go test -run '^$' -fuzz FuzzDecode -fuzztime 30s
package oracle
