package journal

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxPayload = 8 << 20
	maxEntry   = maxPayload - 4<<10 // leaves room for the message's own headers

	unlimitedStore = 1 << 50 // the server would otherwise fix today's free space as its limit

	progressEvery = 10 * time.Second
)

// engine is one run of the embedded server and the two connections to it: what
// is read in bulk never stands before what is being written.
type engine struct {
	server *server.Server
	said   *serverLog
	write  *nats.Conn
	read   *nats.Conn
	js     jetstream.JetStream // over write
	readJS jetstream.JetStream // over read
	folder string              // of the streams

	retries *atomic.Uint64 // of writes without an answer
	damaged func(what string)
	looked  sync.Map // buckets that were looked at in this run
	mender  *mender
}

// startEngine starts the server over dir and returns when it has recovered all
// streams, however long that takes.
func startEngine(ctx context.Context, o Options, log *slog.Logger, retries *atomic.Uint64, damaged func(string)) (*engine, error) {
	limit := o.MaxStore
	if limit == 0 {
		limit = unlimitedStore
	}
	ns, err := server.NewServer(&server.Options{
		ServerName:             "fengsui",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		StoreDir:               o.Dir,
		SyncAlways:             true,
		MaxPayload:             maxPayload,
		JetStreamMaxStore:      limit,
		JetStreamMaxMemory:     64 << 20, // no stream of ours lives in memory
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("configure embedded log server: %w", err)
	}
	e := &engine{server: ns, said: newServerLog(log), retries: retries, damaged: damaged, folder: filepath.Join(o.Dir, "jetstream", "$G", "streams")}
	ns.SetLogger(e.said, false, false)
	if err := e.start(ctx, log); err != nil {
		e.stop()
		return nil, err
	}
	if err := e.connect(log); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// start blocks while the server recovers. It cannot stop in the midst of that,
// so an end of ctx takes effect after it.
func (e *engine) start(ctx context.Context, log *slog.Logger) error {
	began := time.Now()
	started := make(chan struct{})
	go func() {
		defer close(started)
		e.server.Start()
	}()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-started:
			waiting = false
		case <-tick.C:
			log.Info("still recovering the logs after an unclean stop", "elapsed", time.Since(began).Round(time.Second))
		}
	}
	if err := e.said.failure(); err != nil {
		return fmt.Errorf("start embedded log server: %w", err)
	}
	return ctx.Err()
}

func (e *engine) connect(log *slog.Logger) (err error) {
	if e.write, err = e.dial("write", log); err != nil {
		return fmt.Errorf("connect to embedded log server: %w", err)
	}
	if e.read, err = e.dial("read", log); err != nil {
		return fmt.Errorf("connect to embedded log server: %w", err)
	}
	if e.js, err = jetstream.New(e.write); err != nil {
		return fmt.Errorf("reach the log engine: %w", err)
	}
	if e.readJS, err = jetstream.New(e.read); err != nil {
		return fmt.Errorf("reach the log engine: %w", err)
	}
	return nil
}

func (e *engine) dial(name string, log *slog.Logger) (*nats.Conn, error) {
	return nats.Connect("",
		nats.InProcessServer(e.server),
		nats.Name(name),
		nats.SyncQueueLen(2*fetchCount), // the default of 512 K takes 4 MB for each fetch
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("connection to the embedded log server", "connection", name, "error", err)
		}))
}

// stop ends the connections and the server and returns when it has written its
// indexes, which make the next start quick.
func (e *engine) stop() {
	for _, c := range []*nats.Conn{e.write, e.read} {
		if c != nil {
			c.Close()
		}
	}
	e.server.Shutdown()
	e.server.WaitForShutdown()
}
