package rules

import (
	"maps"
	"slices"
)

// trouble is what is wrong with the gateway itself.
type trouble struct {
	level  Level
	reason string // in words
}

// Trouble says that something of the gateway itself is wrong, how bad it is and
// in words, or with no words that it is over: a sink that takes nothing, a disk
// that fills up. It stands through restarts, until it is said to be over.
func (e *Engine) Trouble(name string, level Level, reason string, out []Change) []Change {
	was, stands := e.troubles[name]
	switch {
	case reason == "" && stands:
		delete(e.troubles, name)
		return append(out, Change{Rule: e.builtin.trouble, Source: name, Reason: was.reason})
	case reason != "" && level != was.level:
		e.troubles[name] = trouble{level, reason}
		return append(out, e.trouble(name))
	}
	return out
}

func (e *Engine) trouble(name string) Change {
	t := e.troubles[name]
	return Change{Rule: e.builtin.trouble, Source: name, Reason: t.reason, Level: t.level}
}

// troublesByName keeps the order of what is told the same in every run.
func (e *Engine) troublesByName() []string { return slices.Sorted(maps.Keys(e.troubles)) }
