// Package cpufeat selects, once at start-up, the CPU path that every kernel of
// this module takes, and says why.
//
// The choice is the widest path that the CPU, the operating system and the
// build offer. Two environment variables take part, both with the names that
// Path.String returns:
//
//	RON_ACC_CPU=generic      take this path instead of the widest one
//	RON_ACC_REQUIRE=avx512   it is an error unless this path was selected
//
// A wrong value never panics and never stops the process: the widest path is
// taken, Err says what was wrong, and the callers that can report an error
// (accounting.Open, benchrig, tests) do. All paths give the same bytes.
package cpufeat
