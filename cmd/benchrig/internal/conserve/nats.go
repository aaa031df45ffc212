package conserve

import (
	"context"
	"errors"
	"fmt"

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
	s, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	cons, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"u.>"}})
	if err != nil {
		return err
	}
	for left := info.State.Msgs; left > 0; {
		batch, err := cons.FetchNoWait(int(min(left, 500)))
		if err != nil {
			return err
		}
		got := uint64(0)
		for m := range batch.Messages() {
			got++
			w, _, _, err := parse(m.Data())
			if err != nil {
				return fmt.Errorf("%s: %w", m.Subject(), err)
			}
			if want != nil && !want(Stream{[16]byte(w.Head.Writer), [16]byte(w.Head.Tenant), w.Head.Dimension}) {
				continue
			}
			if err := b.Add(m.Data()); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return err
		}
		if got == 0 { // messages of other subjects
			return nil
		}
		left -= min(got, left)
	}
	return nil
}
