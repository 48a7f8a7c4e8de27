package ruletest

import (
	"slices"

	"fengsui/rules"
)

// Gap is a step of a rule that no test expects.
type Gap struct {
	Rule  *rules.Rule
	Level rules.Level
}

// Coverage lists the steps of rules that none of the results has seen come.
func Coverage(set []*rules.Rule, results []Result) (gaps []Gap) {
	for _, r := range set {
		for _, level := range levelsOf(r) {
			covered := slices.ContainsFunc(results, func(x Result) bool { return x.seen[step{r.ID, level}] })
			known := slices.ContainsFunc(gaps, func(g Gap) bool { return g.Rule.ID == r.ID && g.Level == level })
			if !covered && !known {
				gaps = append(gaps, Gap{r, level})
			}
		}
	}
	return gaps
}
