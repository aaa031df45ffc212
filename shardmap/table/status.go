package table

import "errors"

// Status says what became of an increment. Only OK counted it.
type Status uint8

const (
	OK     Status = iota // counted
	Absent               // no such key yet: nothing counted, take the slow path
	Full                 // capacity reached: nothing counted
	Closed               // the map takes no more: nothing counted
)

// String returns the status in lower case.
func (s Status) String() string {
	return [...]string{"ok", "absent", "full", "closed", "?"}[min(s, 4)]
}

// ErrConfig is wrapped by every error about a Config or a Layout that cannot be used.
var ErrConfig = errors.New("accounting/shardmap: config")
