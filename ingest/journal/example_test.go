package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"fengsui/ingest/journal"
)

// A writer appends batches, a reader follows from its cursor. When Append has
// returned, the batch is on disk and its senders may be acknowledged; when Save
// has returned, the reader never goes back behind it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := journal.Open(ctx, journal.Options{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	input, err := store.Log(ctx, journal.LogOptions{Name: "input"})
	if err != nil {
		log.Fatal(err)
	}
	for _, batch := range []string{"gas 12.6, gas 12.8", "smoke 0.2", "level 3.41, level 3.42, level 3.47"} {
		count := 1
		for _, c := range batch {
			if c == ',' {
				count++
			}
		}
		mark, err := input.Append(ctx, []byte(batch), count)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("on disk:", mark.Seq, "messages so far:", mark.Total)
	}

	cursor, err := store.Cursor(ctx, "input/judge")
	if err != nil {
		log.Fatal(err)
	}
	done, err := cursor.Load(ctx)
	if err != nil {
		log.Fatal(err)
	}
	enough := errors.New("enough for an example")
	err = input.Read(ctx, done+1, func(r journal.Record) error {
		fmt.Printf("%d: %s\n", r.Seq, r.Data)
		if err := cursor.Save(ctx, r.Seq); err != nil {
			return err
		}
		if r.Seq == input.Last().Seq {
			return enough
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// on disk: 1 messages so far: 2
	// on disk: 2 messages so far: 3
	// on disk: 3 messages so far: 6
	// 1: gas 12.6, gas 12.8
	// 2: smoke 0.2
	// 3: level 3.41, level 3.42, level 3.47
	// enough for an example
}
