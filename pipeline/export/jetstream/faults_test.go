package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/ron-accounting/ron-accounting/canon"
	"github.com/ron-accounting/ron-accounting/pipeline/export"
	"github.com/ron-accounting/ron-accounting/pipeline/export/exporttest"
	"github.com/ron-accounting/ron-accounting/pipeline/export/jetstream"
	"github.com/ron-accounting/ron-accounting/pipeline/export/memory"
)

// TestRefusedWhileRunning: a broker that begins to refuse the credentials, or has refused them from the start, is told as that, and taken again when
// it accepts them.
func TestRefusedWhileRunning(t *testing.T) {
	for _, first := range []string{"secret", "another"} {
		port := freePort(t)
		with := func(pw string) func(*server.Options) {
			return func(o *server.Options) { o.Port, o.Username, o.Password = port, "writer", pw }
		}
		srv := broker(t, with(first))
		e, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{Later: true, NATS: []nats.Option{nats.UserInfo("writer", "secret")}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		c := exporttest.NewChain(exporttest.Stream("auth", 0), 2)
		if first == "secret" {
			if _, err := e.Put(context.Background(), c.Next()); err != nil {
				t.Fatal(err)
			}
			srv.Shutdown()
			srv.WaitForShutdown()
			srv = broker(t, with("another"))
		}
		s := exporttest.NewChain(exporttest.Stream("auth", 1), 2).Next()
		eventually(t, func() bool { // the client is refused twice before a client of its own mind gives up
			_, err := e.Put(context.Background(), s)
			var remote *export.RemoteError
			return errors.As(err, &remote) && errors.Is(err, nats.ErrAuthorization)
		})
		time.Sleep(500 * time.Millisecond)
		srv.Shutdown()
		srv.WaitForShutdown()
		broker(t, with("secret"))
		eventually(t, func() bool { a, _ := e.Put(context.Background(), s); return a == export.AckOK })
	}
}

// TestNoPermission: the server does not answer what it does not permit; the error says so all the same.
func TestNoPermission(t *testing.T) {
	srv := broker(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "w", Password: "p", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"u.>"}}}}}
	})
	e, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{NATS: []nats.Option{nats.UserInfo("w", "p")}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = e.Put(ctx, exporttest.NewChain(exporttest.Stream("perm", 1), 2).Next())
	if !errors.Is(err, export.ErrTimeout) || !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("got %v, want a timeout that names the permission", err)
	}
}

// TestDeletedPart: an exporter whose month was deleted behind its back makes it anew for new chains, and tells the old ones that they are broken.
func TestDeletedPart(t *testing.T) {
	srv := broker(t, nil)
	e, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for i := range 8 { // in every part
		if _, err := e.Put(context.Background(), exporttest.NewChain(exporttest.Stream("del", i), 2).Next()); err != nil {
			t.Fatal(err)
		}
	}
	j := dial(t, srv)
	for n := range j.StreamNames(context.Background()).Name() {
		if err := j.DeleteStream(context.Background(), n); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 8 {
		s := exporttest.NewChain(exporttest.Stream("del", 8+i), 2).Next()
		eventually(t, func() bool { a, _ := e.Put(context.Background(), s); return a == export.AckOK })
	}
	second := exporttest.NewChain(exporttest.Stream("del", 0), 2).Take(2)[1]
	eventually(t, func() bool { _, err := e.Put(context.Background(), second); return errors.Is(err, export.ErrGap) })
}

// TestNothingIsReadAfterReturn: what the client offers again by itself, after Put has returned, is what the slice was, and not what its memory holds by then.
func TestNothingIsReadAfterReturn(t *testing.T) {
	srv := broker(t, nil)
	j := dial(t, srv)
	turn := 0
	eventually(t, func() bool { // a busy machine may miss the moment
		turn++
		slices := exporttest.NewChain(exporttest.Stream("late", turn), 2).Take(2)
		m := offeredAgain(t, srv.ClientURL(), j, slices[0], slices[1].Clone())
		if m != nil && !bytes.Equal(m.Data, slices[1].Bytes()) {
			t.Fatalf("offered again with other bytes: %.40x…", m.Data)
		}
		return m != nil
	})
}

// offeredAgain puts first, then second where nobody answers any more, overwrites second, and returns what is offered after that.
func offeredAgain(t *testing.T, url string, j js.JetStream, first, second canon.SealedSlice) *nats.Msg {
	e, err := jetstream.Connect(context.Background(), url, jetstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Put(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	for n := range j.StreamNames(context.Background()).Name() {
		if err := j.DeleteStream(context.Background(), n); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if a, err := e.Put(ctx, second); err == nil {
		t.Fatalf("got %v, want an error: there is no stream", a)
	}
	again, err := j.Conn().SubscribeSync("u.>")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Unsubscribe() }()
	clear(second.Bytes())
	m, _ := again.NextMsg(time.Second)
	return m
}

// TestEverySettingIsVerified: each setting by which a stream could lose or hide an acked slice is refused by itself.
func TestEverySettingIsVerified(t *testing.T) {
	srv := broker(t, nil)
	j := dial(t, srv)
	part := month + "-0"
	for name, edit := range map[string]func(*js.StreamConfig){
		"":             func(*js.StreamConfig) {},
		"persist mode": func(c *js.StreamConfig) { c.PersistMode = js.AsyncPersistMode },
		"subject transform": func(c *js.StreamConfig) {
			c.SubjectTransform = &js.SubjectTransformConfig{Source: "u.>", Destination: "x.>"}
		},
		"memory":      func(c *js.StreamConfig) { c.Storage = js.MemoryStorage },
		"discard":     func(c *js.StreamConfig) { c.Discard = js.DiscardOld },
		"delete":      func(c *js.StreamConfig) { c.DenyDelete = false },
		"purge":       func(c *js.StreamConfig) { c.DenyPurge = false },
		"retention":   func(c *js.StreamConfig) { c.Retention = js.InterestPolicy },
		"direct":      func(c *js.StreamConfig) { c.AllowDirect = true },
		"age":         func(c *js.StreamConfig) { c.MaxAge = 1000 * time.Hour },
		"messages":    func(c *js.StreamConfig) { c.MaxMsgs = 1e9 },
		"per subject": func(c *js.StreamConfig) { c.MaxMsgsPerSubject = 1e6 },
		"size":        func(c *js.StreamConfig) { c.MaxMsgSize = 1 << 20 },
		"no ack":      func(c *js.StreamConfig) { c.NoAck = true },
		"subjects":    func(c *js.StreamConfig) { c.Subjects = append(c.Subjects, "v.>") },
	} {
		c := js.StreamConfig{Name: "RON_" + part, Subjects: []string{"u.*.*.*." + part}, Storage: js.FileStorage, Discard: js.DiscardNew, DenyDelete: true, DenyPurge: true}
		edit(&c)
		eventually(t, func() bool { // the broker still removes the files of the one before
			_, err := j.CreateStream(context.Background(), c)
			return err == nil
		})
		e, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{})
		if err == nil {
			_ = e.Close()
		}
		if errors.Is(err, jetstream.ErrUnsafeStream) != (name != "") {
			t.Errorf("%q: got %v", name, err)
		}
		if err := j.DeleteStream(context.Background(), c.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// failing is a destination that takes nothing.
type failing struct{ err error }

func (f failing) Put(context.Context, canon.SealedSlice) (export.Ack, error) { return 0, f.err }

func (f failing) PutBatch(_ context.Context, b []canon.SealedSlice) []export.Result {
	out := make([]export.Result, len(b))
	for i := range out {
		out[i].Err = f.err
	}
	return out
}

// TestFollowSaysWhatFails: a destination that takes nothing ends Follow with its error; a broker that turns unsafe is waited for, and told.
func TestFollowSaysWhatFails(t *testing.T) {
	srv := broker(t, nil)
	e, err := jetstream.Connect(context.Background(), srv.ClientURL(), jetstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Put(context.Background(), exporttest.NewChain(exporttest.Stream("follow", 0), 2).Next()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	full := errors.New("the disk is full")
	if _, err := jetstream.Follow(ctx, srv.ClientURL(), jetstream.Options{}, failing{full}, jetstream.FollowOptions{Poll: time.Millisecond}); !errors.Is(err, full) {
		t.Errorf("got %v, want the destination's error", err)
	}
	l := memory.New(memory.Options{})
	j, told := dial(t, srv), error(nil)
	_, err = jetstream.Follow(ctx, srv.ClientURL(), jetstream.Options{}, l, jetstream.FollowOptions{Poll: time.Millisecond,
		OnBatch: func(jetstream.Followed) {
			c := js.StreamConfig{Name: "RON_202401-0", Subjects: []string{"u.*.*.*.202401-0"}, MaxAge: time.Hour}
			if _, err := j.CreateStream(ctx, c); err != nil {
				t.Error(err)
			}
		},
		OnError: func(err error) {
			if told = err; err != nil {
				cancel()
			}
		}})
	if !errors.Is(err, context.Canceled) || !errors.Is(told, jetstream.ErrUnsafeStream) {
		t.Errorf("got %v, told %v, want to be told of the unsafe stream", err, told)
	}
}
