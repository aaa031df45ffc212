package main

import (
	"errors"
	"fmt"
)

// The exit codes of benchrig. Scripts and gates rely on them.
const (
	exitOK         = 0
	exitFailure    = 1 // failed to run
	exitUsage      = 2 // unknown flag, workload, key or value
	exitLoss       = 3 // loss, double count or order violation
	exitSLO        = 4 // one of the service levels was missed
	exitRegression = 5 // the gate found a regression
)

// exitError is an error that ends the process with a code of its own. A nil err prints nothing:
// what was found has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitWith makes err end the process with code. A nil err only sets the code.
func exitWith(code int, err error) error { return &exitError{code: code, err: err} }

// usagef reports wrong usage: say what was got and what is allowed.
func usagef(format string, args ...any) error {
	return exitWith(exitUsage, fmt.Errorf(format, args...))
}

// codeOf returns the exit code that err asks for, exitFailure where it names none.
func codeOf(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	}
	return exitFailure
}
