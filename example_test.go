package accounting_test

import (
	"context"
	"fmt"
	"log"

	accounting "github.com/ron-accounting/ron-accounting"
)

// A host that wants no background work seals when it likes and takes the slices.
func ExampleNew() {
	rec, err := accounting.New(accounting.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	key := accounting.Key{Tenant: accounting.IDFromUint64(1), Subject: accounting.IDFromUint64(42), Namespace: 1, Dimension: accounting.Bytes}
	for range 3 {
		if err := rec.Record(key, 500); err != nil {
			log.Fatal(err)
		}
	}
	slices, err := rec.SealNow(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range slices {
		for _, row := range s.Rows() {
			fmt.Println(s.Head().Dimension, "of tenant", s.Head().Tenant.Uint64(), "on", row.Subject.Uint64(), "=", row.Inc)
		}
	}
	// Output: bytes of tenant 1 on 42 = 1500
}

// Open exports by itself, to one or more sinks.
func ExampleOpen() {
	rec, err := accounting.Open(accounting.Options{
		Sinks: []accounting.Sink{{Name: "ledger", Exporter: &collector{}, Required: true}},
	})
	if err != nil {
		log.Fatal(err) // every fault of the options at once
	}
	key := accounting.Key{Tenant: accounting.IDFromUint64(1), Subject: accounting.IDFromUint64(42), Namespace: 1, Dimension: accounting.Requests}
	if err := rec.Record(key, 1); err != nil {
		log.Print(err) // only for a new key beyond the capacity, or after Close
	}
	if err := rec.Close(context.Background()); err != nil {
		log.Print(err) // says what stays pending
	}
	fmt.Println(rec.Stats().Units["requests"].Acked, "acked")
	// Output: 1 acked
}
