package rules

import (
	"fmt"
	"slices"

	"fengsui/devices"
)

// misfit is why a rule makes no sense at a point, for people.
type misfit devices.Text

func (m *misfit) Error() string { return m.EN }

// unfit makes a misfit; both texts take the same arguments.
func unfit(zh, en string, args ...any) error {
	named := slices.Clone(args)
	for i, a := range named {
		if level, ok := a.(Level); ok {
			named[i] = level.Name().ZH
		}
	}
	return &misfit{ZH: fmt.Sprintf(zh, named...), EN: fmt.Sprintf(en, args...)}
}
