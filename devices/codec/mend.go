package codec

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fastjson"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// mended is what could be made of a text that is not JSON.
type mended struct {
	documents [][]byte // in their order; more than one where they were glued together
	how       string   // what was done, for people
	cut       bool     // what stood behind the last whole member is lost
}

// mend repairs what devices are known to do to JSON, where that cannot change a
// number: GBK text, Python's quotes and words, objects glued together, and an
// end that was cut off, of which the last member is given up because its number
// may have lost digits. It reports false for everything else.
func mend(text []byte) (mended, bool) {
	how := ""
	if !utf8.Valid(wholeRunes(text)) {
		decoded, ok := fromGBK(text)
		if !ok {
			return mended{}, false
		}
		text, how = decoded, "read as GB18030"
		if parses(text) {
			return mended{documents: [][]byte{text}, how: how}, true
		}
	}
	if bytes.IndexByte(text, '\'') >= 0 {
		if double := doubleQuoted(text); parses(double) {
			return mended{documents: [][]byte{double}, how: join(how, "single quotes taken as double")}, true
		}
	}
	if all := unglued(text); all != nil {
		return mended{documents: all, how: join(how, "objects glued together taken one by one")}, true
	}
	if whole := closed(text); whole != nil {
		return mended{documents: [][]byte{whole}, how: join(how, "cut off: what is whole was taken"), cut: true}, true
	}
	return mended{}, false
}

func join(how, more string) string {
	if how == "" {
		return more
	}
	return how + "; " + more
}

func parses(text []byte) bool {
	var p fastjson.Parser
	if tooDeep(text) >= 0 {
		return false
	}
	_, err := p.ParseBytes(text)
	return err == nil
}

// wholeRunes is a text without the letter it may end in the midst of.
func wholeRunes(text []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if at := len(text) - n; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				return text[:at]
			}
			break
		}
	}
	return text
}

// fromGBK reads GB18030, of which GBK is part.
func fromGBK(text []byte) ([]byte, bool) {
	decoded, err := simplifiedchinese.GB18030.NewDecoder().Bytes(text)
	return decoded, err == nil && !bytes.ContainsRune(decoded, utf8.RuneError)
}

// doubleQuoted turns texts in single quotes into texts in double ones, and
// Python's True, False and None into their JSON words.
func doubleQuoted(text []byte) []byte {
	out := make([]byte, 0, len(text)+8)
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			at := cursor{text: text, at: i}
			at.string()
			out = append(out, text[i:at.at]...)
			i = at.at
		case c == '\'':
			i++
			out = append(out, '"')
			for ; i < len(text) && text[i] != '\''; i++ {
				switch {
				case text[i] == '"':
					out = append(out, '\\')
				case text[i] == '\\' && i+1 < len(text) && text[i+1] == '\'':
					i++ // JSON does not know \'
				case text[i] == '\\' && i+1 < len(text):
					out = append(out, text[i])
					i++
				}
				out = append(out, text[i])
			}
			i++
			out = append(out, '"')
		default:
			n, word := pythonWord(text[i:])
			out = append(out, word...)
			i += n
		}
	}
	return out
}

func pythonWord(text []byte) (n int, json string) {
	for _, w := range [...]struct{ python, json string }{{"None", "null"}, {"True", "true"}, {"False", "false"}} {
		if bytes.HasPrefix(text, []byte(w.python)) {
			return len(w.python), w.json
		}
	}
	return 1, string(text[:1])
}

// unglued cuts objects and arrays that follow each other, with nothing but
// blanks, zero bytes or a comma between; nil if there are not at least two, all
// of them whole.
func unglued(text []byte) (all [][]byte) {
	c := cursor{text: text}
	for {
		for c.at < len(text) && strings.IndexByte(" \t\r\n\x00,", text[c.at]) >= 0 {
			c.at++
		}
		if c.at == len(text) {
			break
		}
		begin := c.at
		if text[begin] != '{' && text[begin] != '[' {
			return nil
		}
		c.value()
		if c.at == begin || !parses(text[begin:c.at]) || len(all) == MaxSamples {
			return nil
		}
		all = append(all, text[begin:c.at])
	}
	if len(all) < 2 {
		return nil
	}
	return all
}

// closed completes a text that ends too early behind its last whole member; nil
// if it does not end too early or nothing of it is whole.
func closed(text []byte) []byte {
	var open []byte // closing signs, the innermost last
	safe := 0
	for c := (cursor{text: text}); c.at < len(text); {
		switch b := text[c.at]; b {
		case '"':
			c.string()
			continue
		case '{', '[':
			open = append(open, b+2) // } and ] lie two behind { and [
			safe = c.at + 1
		case '}', ']':
			if len(open) == 0 || open[len(open)-1] != b {
				return nil
			}
			open = open[:len(open)-1]
			safe = c.at + 1
		case ',':
			safe = c.at
		}
		c.at++
	}
	if len(open) == 0 || len(open) > maxDepth {
		return nil
	}
	whole := bytes.Clone(text[:safe])
	for i := len(open) - 1; i >= 0; i-- {
		whole = append(whole, open[i])
	}
	if !parses(whole) {
		return nil
	}
	return whole
}
