package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// cursor walks a JSON text that the parser has accepted, to find where
// something stands. It stops at the end whatever the text.
type cursor struct {
	text []byte
	at   int
}

func (c *cursor) blank() {
	for c.at < len(c.text) && strings.IndexByte(" \t\r\n", c.text[c.at]) >= 0 {
		c.at++
	}
}

// element moves from before an array to before its n-th value.
func (c *cursor) element(n int) {
	c.blank()
	c.step() // [
	for range n {
		c.value()
		c.blank()
		c.step() // ,
	}
}

// member moves from before an object to before the value of its n-th member.
func (c *cursor) member(n int) {
	c.blank()
	c.step() // {
	for i := 0; ; i++ {
		c.value() // the key
		c.blank()
		c.step() // :
		if i == n || c.at >= len(c.text) {
			return
		}
		c.value()
		c.blank()
		c.step() // ,
	}
}

// key moves from before an object to before the value of a member. A key that
// is written with escapes is not found: then it stays.
func (c *cursor) key(name string) {
	c.blank()
	start := c.at
	c.step() // {
	for c.at < len(c.text) {
		c.blank()
		begin := c.at
		c.value() // the key
		if c.at == begin {
			break
		}
		found := string(c.text[begin:c.at]) == `"`+name+`"`
		c.blank()
		c.step() // :
		if found {
			return
		}
		c.value()
		c.blank()
		c.step() // ,
	}
	c.at = start
}

func (c *cursor) step() { c.at = min(c.at+1, len(c.text)) }

// value moves over one value of any type.
func (c *cursor) value() {
	c.blank()
	depth := 0
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case '"':
			c.string()
		case '{', '[':
			depth++
			c.at++
		case '}', ']':
			if depth == 0 {
				return
			}
			depth--
			c.at++
		case ',', ':':
			if depth == 0 {
				return
			}
			c.at++
			continue
		default:
			c.at++
			continue
		}
		if depth == 0 {
			return
		}
	}
}

// string moves over a text and its quotes.
func (c *cursor) string() {
	for c.at++; c.at < len(c.text); c.at++ {
		switch c.text[c.at] {
		case '\\':
			c.at++
		case '"':
			c.at++
			return
		}
	}
	c.at = len(c.text)
}

// tooDeep returns where a house payload is nested too deep, or -1.
func tooDeep(text []byte) int { return deeper(text, maxDepth) }

// deeper returns where a text is nested too deep for a recursive parser, or -1.
func deeper(text []byte, most int) int {
	if bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) <= most {
		return -1 // the usual payload is not walked at all
	}
	depth := 0
	for c := (cursor{text: text}); c.at < len(text); {
		switch text[c.at] {
		case '"':
			c.string()
			continue
		case '{', '[':
			if depth++; depth > most {
				return c.at
			}
		case '}', ']':
			depth--
		}
		c.at++
	}
	return -1
}

// withoutInfinity returns the text with every Infinity outside quotes cut to
// Inf, filled up with blanks so that all places stay.
func withoutInfinity(text []byte) (cut []byte, found bool) {
	word := []byte("Infinity")
	if !bytes.Contains(text, word) {
		return text, false
	}
	cut = bytes.Clone(text)
	for c := (cursor{text: cut}); c.at < len(cut); {
		switch {
		case cut[c.at] == '"':
			c.string()
		case bytes.HasPrefix(cut[c.at:], word):
			copy(cut[c.at:], "Inf     ")
			found = true
			c.at += len(word)
		default:
			c.at++
		}
	}
	return cut, found
}

// syntaxError says where and why the text is not JSON. The fast parser cannot
// say it; the standard library's can.
func syntaxError(text []byte, cause error) *Error {
	var raw json.RawMessage
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(text, &raw), &syntax) {
		return &Error{Code: CodeBadJSON, Detail: clip(cause.Error()), Hint: example}
	}
	at, message := max(int(syntax.Offset)-1, 0), syntax.Error()
	if strings.Contains(message, "unexpected end") {
		at, message = len(text), "the payload is cut off"
	}
	return &Error{Code: CodeBadJSON, Offset: at, Detail: message, Hint: syntaxHint(text, at, message)}
}

func syntaxHint(text []byte, at int, message string) string {
	found := text[min(at, len(text)-1)]
	says := func(part string) bool { return strings.Contains(message, part) }
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return "this is UTF-16, send UTF-8"
	case !utf8.Valid(text):
		return "send UTF-8; the text has other bytes, perhaps GBK"
	case says("cut off"):
		return "send the whole object; check the buffer size of the device"
	case says("after top-level value") && (found == '{' || found == '['):
		return "two messages are glued together: send them one by one, or as an array [{…},{…}]"
	case says("after top-level value"):
		return "nothing may follow the object"
	case found == '\'':
		return `JSON wants double quotes: "values", not 'values'`
	case at == 0:
		return example
	case says("looking for") && (found == '}' || found == ']'):
		return "is there a comma too many before it?"
	case says("object key string") && found >= '0' && found <= '9':
		return "is there a decimal comma before it? numbers want a point: 12.6"
	case says("object key string"):
		return `names stand in double quotes: "values"`
	case says("after object key:value pair"), says("after array element"):
		return "a comma is missing before it, or the number before it is no decimal one"
	case says("after object key"):
		return "a colon is missing before it"
	}
	return "a value is a number, true, false, null or a text in double quotes"
}
