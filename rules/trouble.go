package rules

import (
	"maps"
	"slices"
)

// Trouble says that something of the gateway itself is wrong, in words, or with
// no words that it is over: a sink that takes nothing, books that do not balance.
// It stands through restarts, until it is said to be over.
func (e *Engine) Trouble(name, reason string, out []Change) []Change {
	was, stands := e.troubles[name]
	switch {
	case reason == "" && stands:
		delete(e.troubles, name)
		return append(out, Change{Rule: e.builtin.trouble, Source: name, Reason: was})
	case reason != "" && !stands:
		e.troubles[name] = reason
		return append(out, e.trouble(name))
	}
	return out
}

func (e *Engine) trouble(name string) Change {
	return Change{Rule: e.builtin.trouble, Source: name, Reason: e.troubles[name], Level: Fault}
}

// troublesByName keeps the order of what is told the same in every run.
func (e *Engine) troublesByName() []string { return slices.Sorted(maps.Keys(e.troubles)) }
