package alarms

// remembered is how many answers and closed alarms the book still knows.
const remembered = 4096

// closing is by whom and when an alarm was closed.
type closing struct {
	by string
	at Time
}

// memory keeps the newest of many things by name.
type memory[V any] struct {
	values map[string]V
	order  []string // oldest first
}

func newMemory[V any]() memory[V] { return memory[V]{values: map[string]V{}} }

func (m *memory[V]) get(key string) (V, bool) {
	v, ok := m.values[key]
	return v, ok && key != ""
}

func (m *memory[V]) put(key string, v V) {
	if _, known := m.values[key]; !known {
		m.order = append(m.order, key)
	}
	m.values[key] = v
	if len(m.order) > remembered {
		delete(m.values, m.order[0])
		m.order = m.order[1:]
	}
}
