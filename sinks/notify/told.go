package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"

	"fengsui/rules"
	"fengsui/rules/alarms"
)

// Step is what a message tells.
type Step string

const (
	Raised       Step = "raised"
	LevelUp      Step = "level_up"
	LevelDown    Step = "level_down"
	Acknowledged Step = "acknowledged"
	Resolved     Step = "resolved" // over, or closed by a person
	Test         Step = "test"
)

// Steps lists what an endpoint can ask to be told of.
var Steps = []Step{Raised, LevelUp, LevelDown, Acknowledged, Resolved}

// told is what an endpoint knows of an alarm that is not over for it.
type told struct {
	Seq   uint64      `json:"seq"` // of the event
	Level rules.Level `json:"level"`
}

// next says what an event means to an endpoint that was told was, or nothing
// yet, and what it will know then; nil when it need no longer remember.
func next(f *Filter, was *told, e *alarms.Event) (Step, *told) {
	a := &e.Alarm
	now := &told{e.Seq, a.Level}
	switch {
	case was == nil && f.stands(a):
		return Raised, now
	case was == nil || e.Seq <= was.Seq:
		return "", was
	case over(a):
		return Resolved, nil
	case quiet(a):
		return "", was
	case a.Level.Rank() > was.Level.Rank():
		return LevelUp, now
	case a.Level != was.Level:
		return LevelDown, now
	case e.Type == alarms.Acked:
		return Acknowledged, now
	}
	return "", was
}

// Bucket keeps what endpoints were told ([journal.Bucket]).
type Bucket interface {
	All(ctx context.Context) (map[string][]byte, error)
	Put(ctx context.Context, key string, value []byte) (uint64, error)
}

// shelves is over how many keys of the bucket the alarms of an endpoint are
// spread: a key for each alarm would leave its trace for ever.
const shelves = 64

// memory is what one endpoint was told. One goroutine uses it.
type memory struct {
	bucket   Bucket
	endpoint string
	shelf    map[string]map[string]*told // by key, by alarm id; nil: not loaded
	unsaved  map[string]bool             // keys
}

func (m *memory) load(ctx context.Context) error {
	if m.shelf != nil {
		return nil
	}
	all, err := m.bucket.All(ctx)
	if err != nil {
		return fmt.Errorf("read what %s was told: %w", m.endpoint, err)
	}
	shelf := map[string]map[string]*told{}
	for key, text := range all {
		if !strings.HasPrefix(key, m.endpoint+"/") {
			continue
		}
		var alarms map[string]*told
		if err := json.Unmarshal(text, &alarms); err != nil {
			return fmt.Errorf("read what %s was told: %w", m.endpoint, err)
		}
		shelf[key] = alarms
	}
	m.shelf, m.unsaved = shelf, map[string]bool{}
	return nil
}

func (m *memory) key(alarm string) string {
	h := fnv.New32a()
	h.Write([]byte(alarm))
	return fmt.Sprintf("%s/%02d", m.endpoint, h.Sum32()%shelves)
}

func (m *memory) get(alarm string) *told { return m.shelf[m.key(alarm)][alarm] }

func (m *memory) set(alarm string, to *told) {
	key := m.key(alarm)
	if m.shelf[key] == nil {
		m.shelf[key] = map[string]*told{}
	}
	if to == nil {
		delete(m.shelf[key], alarm)
	} else {
		m.shelf[key][alarm] = to
	}
	m.unsaved[key] = true
}

// save puts on disk what has changed; what fails is still unsaved.
func (m *memory) save(ctx context.Context) error {
	for key := range m.unsaved {
		text, err := json.Marshal(m.shelf[key])
		if err != nil {
			return err
		}
		if _, err := m.bucket.Put(ctx, key, text); err != nil {
			return fmt.Errorf("save what %s was told: %w", m.endpoint, err)
		}
		delete(m.unsaved, key)
	}
	return nil
}
