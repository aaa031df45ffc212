package pipeline

import (
	"unsafe"

	"github.com/ron-accounting/ron-accounting/shardmap"
)

// The conversion below is sound while the two structs have one layout; these fail to compile otherwise.
const (
	_ = uint(unsafe.Sizeof(Key{}) - unsafe.Sizeof(shardmap.WideKey{}))
	_ = uint(unsafe.Sizeof(shardmap.WideKey{}) - unsafe.Sizeof(Key{}))
	_ = uint(unsafe.Offsetof(Key{}.Tenant)-unsafe.Offsetof(shardmap.WideKey{}.Tenant)) |
		uint(unsafe.Offsetof(shardmap.WideKey{}.Tenant)-unsafe.Offsetof(Key{}.Tenant))
	_ = uint(unsafe.Offsetof(Key{}.Subject)-unsafe.Offsetof(shardmap.WideKey{}.Subject)) |
		uint(unsafe.Offsetof(shardmap.WideKey{}.Subject)-unsafe.Offsetof(Key{}.Subject))
	_ = uint(unsafe.Offsetof(Key{}.Namespace)-unsafe.Offsetof(shardmap.WideKey{}.Namespace)) |
		uint(unsafe.Offsetof(shardmap.WideKey{}.Namespace)-unsafe.Offsetof(Key{}.Namespace))
	_ = uint(unsafe.Offsetof(Key{}.Dimension)-unsafe.Offsetof(shardmap.WideKey{}.Dimension)) |
		uint(unsafe.Offsetof(shardmap.WideKey{}.Dimension)-unsafe.Offsetof(Key{}.Dimension))
)

// Wide is k as the shard map's key: the same memory, not a copy.
func (k *Key) Wide() *shardmap.WideKey { return (*shardmap.WideKey)(unsafe.Pointer(k)) }
