package accounting

import (
	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
)

// What is counted.
type (
	ID        = canon.ID
	Dimension = pipeline.Dimension
	Key       = pipeline.Key
)

// The built-in dimensions; Options.Dimensions names more.
const (
	Bytes    = pipeline.Bytes
	Requests = pipeline.Requests
	CPU      = pipeline.CPU // microseconds
)

// ParseID reads 32 hexadecimal digits, or a UUID.
func ParseID(s string) (ID, error) { return canon.ParseID(s) }

// IDFromUint64 returns the ID whose low 64 bits are v.
func IDFromUint64(v uint64) ID { return canon.IDFromUint64(v) }

// What is sealed.
type (
	SealedSlice = canon.SealedSlice
	Digest      = canon.Digest
	Head        = canon.Head
	Gap         = canon.Gap
	Row         = canon.Row
)

// Where it goes.
type (
	Stream        = export.Stream
	Exporter      = export.Exporter
	BatchExporter = export.BatchExporter
	Tipper        = export.Tipper
	Sink          = export.Sink
	Result        = export.Result
	Ack           = export.Ack
)

// A sink's answers.
const (
	AckOK        = export.AckOK
	AckDuplicate = export.AckDuplicate
)

// How it is configured, and what it says of itself.
type (
	Options        = pipeline.Options
	Profile        = pipeline.Profile
	Period         = pipeline.Period
	OverflowPolicy = pipeline.OverflowPolicy
	Fairness       = pipeline.Fairness
	BackoffOptions = pipeline.BackoffOptions
	Tuning         = pipeline.Tuning
	Clock          = pipeline.Clock
	Readiness      = pipeline.Readiness
	ReadyKey       = pipeline.ReadyKey
	Stats          = pipeline.Stats
	Units          = pipeline.Units
	Events         = pipeline.Events
	Event          = pipeline.Event
)

const (
	Micronode = pipeline.Micronode
	Macronode = pipeline.Macronode

	Day   = pipeline.Day
	Hour  = pipeline.Hour
	Month = pipeline.Month

	Coalesce = pipeline.Coalesce
	Shed     = pipeline.Shed

	RoundRobin = pipeline.RoundRobin
	WFQ        = pipeline.WFQ

	SliceSealed   = pipeline.SliceSealed
	SliceExported = pipeline.SliceExported
)

// NewEvents returns a queue for Options.Events that holds at most capacity events.
func NewEvents(capacity int) *Events { return pipeline.NewEvents(capacity) }
