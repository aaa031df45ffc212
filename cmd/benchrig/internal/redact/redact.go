// Package redact takes passwords out of text that people will see: messages, logs, results, reports.
package redact

import "regexp"

// secret is what stands between a user's name and the @ of an address, be the address well formed or not.
var secret = regexp.MustCompile(`(://[^/?#,@:\s]*):[^/?#,@\s]*@`)

// Addresses returns s with the password of each address in it replaced, as net/url's Redacted does.
func Addresses(s string) string { return secret.ReplaceAllString(s, "$1:xxxxx@") }
