package canon

import (
	"errors"
	"fmt"
)

// Limits of the wire format.
const (
	Version   = 1         // Head.V
	MaxBytes  = 1 << 20   // of one slice
	MaxSeq    = 1<<63 - 1 // Head.Seq
	MaxName   = 63        // bytes of a dimension or a reason
	MediaType = "application/vnd.ron.slice.v1+dag-cbor"
)

// The rules that SchemaError.Rule names. They are stable: alerts and tests may compare them.
const (
	RuleTruncated    = "an item must not end early"
	RuleTrailing     = "one item, no trailing byte"
	RuleTooLarge     = "at most 1 MiB"
	RuleShortest     = "shortest integers and lengths"
	RuleDefinite     = "definite lengths only"
	RuleReserved     = "no reserved additional information"
	RuleTag          = "no tag but 42, on prev"
	RuleFloat        = "no float"
	RuleType         = "types as in the schema"
	RuleKeys         = "a map has exactly the keys of the schema"
	RuleKeyOrder     = "map keys in the order of the schema"
	RuleKeyDuplicate = "no duplicate key"
	RuleKeyUnknown   = "no unknown key"
	RuleVersion      = "v is 1"
	RuleSeq          = "seq at most 2^63-1"
	RuleGap          = "gap.from <= gap.to = seq-1"
	RuleReason       = "reason is [a-z][a-z0-9_]{0,62}"
	RulePrev         = "prev is null exactly where seq = 0 or gap.from = 0"
	RuleCID          = "prev is a CIDv1 of dag-cbor and blake3-256"
	RuleID           = "ids are 16 bytes"
	RuleDimension    = "dimension is [a-z][a-z0-9_]{0,62}"
	RuleWindow       = "window_start_s < window_end_s"
	RuleRowCount     = "the declared number of rows fits in what is left"
	RuleRow          = "a row is [ns, id, inc]"
	RuleRowOrder     = "rows strictly ascending by (ns, id)"
	RuleNamespace    = "ns below 2^32"
	RuleInc          = "inc at least 1"
)

// ErrSchema: bytes or values that are not a slice of this format. Always carried by a *SchemaError, except where
// another package wraps it for a value that never had bytes.
var ErrSchema = errors.New("accounting/canon: schema")

// SchemaError says which rule was broken and where. It is ErrSchema.
type SchemaError struct {
	// Offset is that of the first byte of the item that breaks the rule: of the value, for a rule about a value
	// (gap.to for RuleGap's equation, window_start_s for RuleWindow); of the row's array for RuleRowOrder; of the first
	// byte too many for RuleTrailing and RuleTooLarge; of the wrong byte inside a name or a CID; len of the input for
	// RuleTruncated. From Encode it is the offset in the bytes that would have been written.
	Offset int
	Rule   string // one of the Rule constants
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("%v: offset %d: want %s", ErrSchema, e.Offset, e.Rule)
}

// Unwrap returns ErrSchema.
func (e *SchemaError) Unwrap() error { return ErrSchema }
