package devices

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Document is a YAML file that was read strictly: no key that nobody reads, and
// every complaint about it says file:line:column.
type Document struct {
	name string
	file *ast.File
	keys map[reflect.Type]map[string]reflect.Type // what each struct reads, once it was met
}

// ReadDocument decodes data into dst, a pointer to a struct with yaml tags.
// Keys that dst does not have are errors which name the nearest one it has. The
// document is returned with the error when at least its syntax was sound.
func ReadDocument(name string, data []byte, dst any) (d *Document, err error) {
	// The YAML package panics on some malformed files.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: the file cannot be read as YAML: %v", name, p)
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, placed(name, err)
	}
	d = &Document{name: name, file: file, keys: map[reflect.Type]map[string]reflect.Type{}}
	if len(file.Docs) > 1 {
		return d, d.errorAt(file.Docs[1].GetToken(), "a second document begins, want one a file")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return d, fmt.Errorf("%s:1:1: the file is empty", name)
	}
	body := file.Docs[0].Body
	if err := errors.Join(d.mistakes(body, reflect.TypeOf(dst))...); err != nil {
		return d, err
	}
	if err := yaml.NodeToValue(body, dst); err != nil {
		return d, placed(name, err)
	}
	return d, nil
}

// Errorf complains about the node at path ("$.fields[2].range"), or about the
// nearest one around it that is in the file.
func (d *Document) Errorf(path, format string, args ...any) error {
	line, column := d.Position(path)
	return fmt.Errorf("%s:%d:%d: %s", d.name, line, column, fmt.Sprintf(format, args...))
}

// Position is where the node at path begins, or the nearest one around it that
// is in the file.
func (d *Document) Position(path string) (line, column int) {
	for p := path; p != ""; p = parent(p) {
		if node := d.node(p); node != nil {
			return position(begin(node))
		}
	}
	return 1, 1
}

func (d *Document) node(path string) ast.Node {
	p, err := yaml.PathString(path)
	if err != nil {
		return nil
	}
	node, err := p.FilterFile(d.file)
	if err != nil {
		return nil
	}
	return node
}

// begin is the first token of a node; that of a block mapping is its first key,
// not, as the parser has it, the colon behind it.
func begin(node ast.Node) *token.Token {
	switch n := node.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return node.GetToken()
}

// parent cuts the last step off a path; "" above the root.
func parent(path string) string {
	if path == "$" {
		return ""
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

func position(t *token.Token) (line, column int) {
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return t.Position.Line, t.Position.Column
}

func (d *Document) errorAt(t *token.Token, format string, args ...any) error {
	line, column := position(t)
	return fmt.Errorf("%s:%d:%d: %s", d.name, line, column, fmt.Sprintf(format, args...))
}

// placed turns an error of the YAML package into file:line:column: message.
func placed(name string, err error) error {
	var at yaml.Error
	if !errors.As(err, &at) {
		return fmt.Errorf("%s: %w", name, err)
	}
	d := &Document{name: name}
	message, _, _ := strings.Cut(at.GetMessage(), "\n")
	return d.errorAt(at.GetToken(), "%s", message)
}

// mistakes finds what lies below node and would not fit into t: keys it does not
// have, lists and mappings in place of each other, and durations that are none;
// for some of them the YAML package knows no place.
func (d *Document) mistakes(node ast.Node, t reflect.Type) []error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[time.Duration]() || t == reflect.TypeFor[Duration]() {
		return d.badDuration(node)
	}
	switch n := node.(type) {
	case *ast.AnchorNode:
		return d.mistakes(n.Value, t)
	case *ast.AliasNode, *ast.NullNode:
		return nil
	case *ast.TagNode:
		return []error{d.errorAt(n.GetToken(), "the tag %s has no meaning here, leave it out", n.GetToken().Value)}
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return d.mistakesInList(node, t.Elem())
	case reflect.Map, reflect.Struct:
		_, mapping := node.(ast.MapNode)
		if !mapping && readsItself(t) {
			return nil
		}
		return d.mistakesInMapping(node, t)
	}
	return nil
}

// readsItself reports whether a type knows more forms of itself than its fields
// tell: a time is a text, a limit may be a mere number.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) ||
		p.Implements(reflect.TypeFor[yaml.InterfaceUnmarshaler]()) ||
		p.Implements(reflect.TypeFor[yaml.BytesUnmarshaler]())
}

func (d *Document) mistakesInList(node ast.Node, element reflect.Type) (errs []error) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		return []error{d.errorAt(begin(node), "want a list, each entry beginning with a dash")}
	}
	for _, v := range list.Values {
		errs = append(errs, d.mistakes(v, element)...)
	}
	return errs
}

func (d *Document) mistakesInMapping(node ast.Node, t reflect.Type) (errs []error) {
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, pair := range n.Values {
			errs = append(errs, d.unknownKey(pair, t)...)
		}
	case *ast.MappingValueNode:
		errs = d.unknownKey(n, t)
	default:
		errs = append(errs, d.errorAt(begin(node), "want keys with values, like {key: value}"))
	}
	return errs
}

func (d *Document) unknownKey(pair *ast.MappingValueNode, t reflect.Type) []error {
	if t.Kind() == reflect.Map {
		return d.mistakes(pair.Value, t.Elem())
	}
	if pair.Key.Type() == ast.MergeKeyType {
		return nil
	}
	keys := d.keysOf(t)
	key := pair.Key.GetToken().Value
	if inner, ok := keys[key]; ok {
		return d.mistakes(pair.Value, inner)
	}
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names)
	if near := nearest(key, names); near != "" {
		return []error{d.errorAt(pair.Key.GetToken(), "unknown key %q, did you mean %q?", key, near)}
	}
	return []error{d.errorAt(pair.Key.GetToken(), "unknown key %q, want one of: %s", key, strings.Join(names, ", "))}
}

func (d *Document) badDuration(node ast.Node) []error {
	t := node.GetToken()
	if _, err := time.ParseDuration(t.Value); err != nil && node.Type() != ast.AliasType {
		return []error{d.errorAt(t, "duration %q: want a number with its unit, e.g. 30s, 10m or 1h30m", t.Value)}
	}
	return nil
}

// keysOf is keysOf, found out once: a list may have ten thousand entries.
func (d *Document) keysOf(t reflect.Type) map[string]reflect.Type {
	keys, ok := d.keys[t]
	if !ok {
		keys = keysOf(t)
		d.keys[t] = keys
	}
	return keys
}

// keysOf lists what a struct reads from YAML: key → type.
func keysOf(t reflect.Type) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			for k, inner := range keysOf(f.Type) {
				keys[k] = inner
			}
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		keys[name] = f.Type
	}
	return keys
}

// Number takes any number of YAML that is one.
func Number(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	case uint64:
		return float64(n), true
	case int64:
		return float64(n), true
	}
	return 0, false
}
