package devices

import "strings"

// Nearest returns the candidate that word was probably meant to be, or "" when
// none is near.
func Nearest(word string, candidates []string) string { return nearest(word, candidates) }

// nearest returns the candidate that word was probably meant to be, or "" when
// none is near: at most a third of its letters may differ, or its end is missing.
func nearest(word string, candidates []string) string {
	const longest = 64 // names are no longer; a payload's keys may be
	if word == "" || len(word) > longest {
		return ""
	}
	best, bestDistance := "", len(word)/3+1
	for _, c := range candidates {
		if len(c) > longest || abs(len(c)-len(word)) >= bestDistance {
			continue
		}
		if d := distance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best == "" {
		return completed(word, candidates)
	}
	return best
}

// completed returns the only candidate that begins with the word, as
// gas_lel_pct does with gas_lel.
func completed(word string, candidates []string) (whole string) {
	for _, c := range candidates {
		if !strings.HasPrefix(c, word+"_") {
			continue
		}
		if whole != "" {
			return ""
		}
		whole = c
	}
	return whole
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
