package journal

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

func openBucket(t testing.TB, s *Store, name string) *Bucket {
	t.Helper()
	b, err := s.Bucket(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBucket(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	b := openBucket(t, s, "people")
	ctx := t.Context()
	if _, _, err := b.Get(ctx, "张三"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	if all, err := b.All(ctx); err != nil || len(all) != 0 {
		t.Errorf("All of nothing: %v, %v", all, err)
	}
	first, err := b.Create(ctx, "张三", []byte("viewer"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, "张三", []byte("admin")); !errors.Is(err, ErrConflict) {
		t.Errorf("Create of what is there: %v", err)
	}
	second, err := b.Update(ctx, "张三", []byte("operator"), first)
	if err != nil || second == first {
		t.Errorf("Update: revision %d after %d, %v", second, first, err)
	}
	if _, err := b.Update(ctx, "张三", []byte("admin"), first); !errors.Is(err, ErrConflict) {
		t.Errorf("Update of an old revision: %v", err)
	}
	if value, rev, err := b.Get(ctx, "张三"); err != nil || string(value) != "operator" || rev != second {
		t.Errorf("Get: %s at %d, %v", value, rev, err)
	}
	for _, key := range []string{"a.b", "*", "gone", "a/b c"} {
		if _, err := b.Put(ctx, key, []byte(key)); err != nil {
			t.Errorf("Put %q: %v", key, err)
		}
	}
	for _, key := range []string{"gone", "never was"} {
		if err := b.Delete(ctx, key); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if _, _, err := b.Get(ctx, "gone"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of what was removed: %v", err)
	}
	if _, err := b.Put(ctx, "", nil); err == nil {
		t.Error("Put of an empty key")
	}

	want := map[string][]byte{"张三": []byte("operator"), "a.b": []byte("a.b"), "*": []byte("*"), "a/b c": []byte("a/b c")}
	check := func(b *Bucket) {
		t.Helper()
		if all, err := b.All(ctx); err != nil || !reflect.DeepEqual(all, want) {
			t.Errorf("All: %q, %v", all, err)
		}
	}
	check(b)
	check(openBucket(t, openStore(t, crashCopy(t, dir)), "people"))
	closeStore(t, s)
	b = openBucket(t, openStore(t, dir), "people")
	check(b)
	if _, err := b.Create(ctx, "gone", []byte("back")); err != nil {
		t.Errorf("Create of what was removed: %v", err)
	}
}

func TestBucketOfManyKeys(t *testing.T) {
	s := openStore(t, t.TempDir())
	b := openBucket(t, s, "registry")
	want := make(map[string][]byte)
	for i := range 3 * fetchCount {
		key := fmt.Sprint("site/", i%(2*fetchCount))
		want[key] = fmt.Append(nil, "device ", i)
		if _, err := b.Put(t.Context(), key, want[key]); err != nil {
			t.Fatal(err)
		}
	}
	all, err := b.All(t.Context())
	if err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("got %d keys, want %d, %v", len(all), len(want), err)
	}
}

func TestBucketWithADamagedValue(t *testing.T) {
	for _, damaged := range []string{"value-1", "value-2", "value-3"} {
		t.Run(damaged, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			b := openBucket(t, s, "registry")
			want := make(map[string][]byte)
			for _, value := range []string{"value-1", "value-2", "value-3"} {
				want[strings.ToUpper(value)] = []byte(value)
				if _, err := b.Put(t.Context(), strings.ToUpper(value), []byte(value)); err != nil {
					t.Fatal(err)
				}
			}
			closeStore(t, s)
			flipText(t, streamFile(dir, "KV_registry", "msgs", "1.blk"), damaged)
			delete(want, strings.ToUpper(damaged))
			s = openStore(t, dir)
			all, err := openBucket(t, s, "registry").All(t.Context())
			if err != nil || !maps.EqualFunc(all, want, func(a, b []byte) bool { return string(a) == string(b) }) {
				t.Errorf("got %q, %v", all, err)
			}
			if named := s.Stats().Damage; len(named) != 1 || !strings.Contains(named[0], "bucket registry: entry ") || !strings.Contains(named[0], "is lost") {
				t.Errorf("named as %q", named)
			}
		})
	}
}
