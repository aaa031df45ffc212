package adapter

import "errors"

// errMembers: encoding/json takes the last of two members of one name, and any case. Which of two counts a bill must not depend on.
var errMembers = errors.New("a member comes twice, or is not spelt as in {rows: [{tenant, dimension, ns, subject, inc}]}")

// exactMembers reports whether the members of b are spelt as the document's and come once in each object. b is a document that encoding/json
// has taken as one.
func exactMembers(b []byte) bool {
	var seen [3]uint8 // by depth
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{':
			if depth++; depth == len(seen) {
				return false
			}
			seen[depth] = 0
		case '}':
			depth--
		case '"':
			from := i + 1
			for i = from; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			next := i + 1
			for next < len(b) && (b[next] == ' ' || b[next] == '\n' || b[next] == '\r' || b[next] == '\t') {
				next++
			}
			if next >= len(b) || b[next] != ':' {
				continue
			}
			m := member(b[from:i], depth)
			if m == 0 || seen[depth]&m != 0 {
				return false
			}
			seen[depth] |= m
		}
	}
	return true
}

// member is the bit of a member at that depth, 0 for none.
func member(name []byte, depth int) uint8 {
	if depth == 1 {
		if string(name) == "rows" {
			return 1
		}
		return 0
	}
	switch string(name) {
	case "tenant":
		return 1
	case "dimension":
		return 2
	case "ns":
		return 4
	case "subject":
		return 8
	case "inc":
		return 16
	}
	return 0
}
