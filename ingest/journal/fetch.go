package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	fetchTimeout = 10 * time.Second

	// A batch is read under the stream's lock, so its size bounds how long an
	// append to the same segment can wait for a reader.
	fetchCount = 256
	fetchBytes = 512 << 10
)

var (
	// errNothing: the store has no readable entry there.
	errNothing = errors.New("no readable entry")
	// errNoAnswer: the store did not say.
	errNoAnswer = errors.New("no answer from the store")
)

// stored is a message as it lies in a stream.
type stored struct {
	seq     uint64
	subject string
	header  nats.Header
	data    []byte
}

// fetch reads up to one batch of messages from sequence from on, skipping what
// is not there. It is the server's batched direct get, which the client library
// does not offer.
func (e *engine) fetch(ctx context.Context, stream string, from uint64, count int) ([]stored, error) {
	return e.get(ctx, stream, fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d}`, from, count, fetchBytes), true)
}

// fetchOne reads exactly the message at seq.
func (e *engine) fetchOne(ctx context.Context, stream string, seq uint64) (stored, error) {
	got, err := e.get(ctx, stream, fmt.Appendf(nil, `{"seq":%d}`, seq), false)
	if err != nil {
		return stored{}, err
	}
	return got[0], nil
}

func (e *engine) get(ctx context.Context, stream string, request []byte, batch bool) ([]stored, error) {
	if err := e.mender.beforeRead(stream); err != nil {
		return nil, err
	}
	sub, err := e.read.SubscribeSync(e.read.NewInbox())
	if err != nil {
		return nil, closedOr(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, closedOr(err)
	}
	if err := e.read.PublishRequest("$JS.API.DIRECT.GET."+stream, sub.Subject, request); err != nil {
		return nil, closedOr(err)
	}
	limited, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var out []stored
	for {
		m, err := sub.NextMsgWithContext(limited)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case limited.Err() != nil, errors.Is(err, nats.ErrNoResponders):
			return nil, fmt.Errorf("%w about stream %s", errNoAnswer, stream)
		case err != nil:
			return nil, closedOr(err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			s, err := storedFrom(m)
			if err != nil {
				return nil, err
			}
			if out = append(out, s); !batch {
				return out, nil
			}
		case "204":
			if len(out) == 0 {
				return nil, errNothing
			}
			return out, nil
		case "404":
			return nil, errNothing
		default:
			return nil, fmt.Errorf("read stream %s: %s %s", stream, status, m.Header.Get("Description"))
		}
	}
}

func storedFrom(m *nats.Msg) (stored, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("answer of the store without a sequence: %w", err)
	}
	return stored{seq: seq, subject: m.Header.Get("Nats-Subject"), header: m.Header, data: m.Data}, nil
}

// closedOr puts a closed connection into this package's words.
func closedOr(err error) error {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		return ErrClosed
	}
	return err
}
