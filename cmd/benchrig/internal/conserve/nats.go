package conserve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ReadNATS enters every message of every JetStream stream of the server whose subject begins with u. and for which want is true
// (nil: all), in the order of the broker. A slice stored twice is entered twice.
func (b *Book) ReadNATS(ctx context.Context, url string, want func(Stream) bool) error {
	nc, err := nats.Connect(url, nats.Name("benchrig conservation"))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if err := b.readStream(ctx, js, name, want); err != nil {
			return fmt.Errorf("%s stream %s: %w", url, name, err)
		}
	}
	return names.Err()
}

func (b *Book) readStream(ctx context.Context, js jetstream.JetStream, name string, want func(Stream) bool) error {
	var info *jetstream.StreamInfo
	var cons jetstream.Consumer
	// A replicated stream may be choosing a leader just now; nothing has been read yet, so all of it can be asked again.
	err := patiently(ctx, func() error {
		s, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		if info, err = s.Info(ctx); err != nil {
			return err
		}
		cons, err = s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"u.>"}})
		return err
	})
	if err != nil {
		return err
	}
	for left := info.State.Msgs; left > 0; {
		got := uint64(0)
		err := patiently(ctx, func() error { // a consumer just made may not be known everywhere yet
			n, err := b.readBatch(cons, int(min(left, 500)), want)
			if got += n; got > 0 && errors.Is(err, nats.ErrNoResponders) {
				return nil // what came is entered; the rest is asked for again
			}
			return err
		})
		if err != nil {
			return err
		}
		if got == 0 { // messages of other subjects
			return nil
		}
		left -= min(got, left)
	}
	return nil
}

// readBatch enters up to n messages and returns how many came.
func (b *Book) readBatch(cons jetstream.Consumer, n int, want func(Stream) bool) (got uint64, err error) {
	batch, err := cons.FetchNoWait(n)
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		got++
		w, _, _, err := parse(m.Data())
		if err != nil {
			return got, fmt.Errorf("%s: %w", m.Subject(), err)
		}
		if want != nil && !want(Stream{[16]byte(w.Head.Writer), [16]byte(w.Head.Tenant), w.Head.Dimension}) {
			continue
		}
		if err := b.Add(m.Data()); err != nil {
			return got, err
		}
	}
	if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
		return got, err
	}
	return got, nil
}

// patiently tries f again for ten seconds while nobody answers.
func patiently(ctx context.Context, f func() error) error {
	for end := time.Now().Add(10 * time.Second); ; {
		err := f()
		if err == nil || ctx.Err() != nil || time.Now().After(end) || !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, nats.ErrTimeout) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
