// Package oracle checks this module's bytes with code that is not its own: go-car and go-ipld-prime for archives and blocks.
package oracle
