package codec

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// Leaf is one scalar of a payload: where it stands, under which path, and how
// it is written.
type Leaf struct {
	Path   string `json:"path"`
	Offset int    `json:"offset"`
	Text   string `json:"text"`
}

// Leaves lists the scalars of a JSON text in their order, at most the given
// number; of a text that is not JSON, those before it goes wrong.
func Leaves(text []byte, most int) []Leaf {
	if deeper(text, maxNesting) >= 0 {
		return nil
	}
	l := leaves{cursor: cursor{text: text}, most: most}
	l.walk("")
	return l.all
}

type leaves struct {
	cursor
	all  []Leaf
	most int
}

func (l *leaves) walk(path string) {
	l.blank()
	if l.at >= len(l.text) || len(l.all) >= l.most {
		return
	}
	switch l.text[l.at] {
	case '{':
		l.step()
		for l.more('}') {
			begin := l.at
			l.value()
			key := string(bytes.Trim(l.text[begin:l.at], `"`))
			l.blank()
			l.step() // :
			if path != "" {
				key = path + "." + key
			}
			l.walk(key)
		}
	case '[':
		l.step()
		for n := 0; l.more(']'); n++ {
			l.walk(path + "[" + strconv.Itoa(n) + "]")
		}
	default:
		begin := l.at
		if l.value(); l.at == begin {
			l.at = len(l.text) // no JSON
			return
		}
		l.all = append(l.all, Leaf{path, begin, clip(string(bytes.TrimSpace(l.text[begin:l.at])))})
	}
}

// more moves to the next value in an object or array, and over its end.
func (l *leaves) more(end byte) bool {
	l.blank()
	if l.at < len(l.text) && l.text[l.at] == ',' {
		l.at++
		l.blank()
	}
	if l.at >= len(l.text) || len(l.all) >= l.most {
		return false
	}
	if l.text[l.at] == end {
		l.at++
		return false
	}
	return true
}

// Readable is a payload as people can read it, with the same places in it as the
// errors about it name: text in GBK becomes UTF-8.
func Readable(payload []byte) []byte {
	if !utf8.Valid(payload) {
		if decoded, ok := fromGBK(payload); ok {
			return decoded
		}
	}
	return payload
}
