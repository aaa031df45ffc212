package gate

import "errors"

// Errors, for errors.Is. Each is wrapped with what was found and what to do about it.
var (
	// ErrUsage: options that contradict each other or name nothing.
	ErrUsage = errors.New("gate: usage")
	// ErrRef: the REF is not in the repository, or does not build.
	ErrRef = errors.New("gate: base can't be used")
	// ErrBuild: the working tree does not build.
	ErrBuild = errors.New("gate: the working tree does not build")
	// ErrBaseline: a baseline that is malformed, of another schema, or of another machine.
	ErrBaseline = errors.New("gate: unusable baseline")
	// ErrWaiver: a waiver file that is malformed or incomplete.
	ErrWaiver = errors.New("gate: unusable waivers")
	// ErrRun: a benchmark that failed or printed no result.
	ErrRun = errors.New("gate: benchmark failed")
	// ErrSelfTest: the gate does not tell a slowdown from noise on this machine.
	ErrSelfTest = errors.New("gate: self-test failed")
)
