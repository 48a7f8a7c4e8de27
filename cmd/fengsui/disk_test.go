package main

import (
	"testing"

	"pgregory.net/rapid"
)

func TestFloorFitsTheDisk(t *testing.T) {
	d := defaultDisk()
	for size, want := range map[int64]int64{
		64e6: 5.12e6, 5e9: 4e8, 20e9: 1e9, 100e9: 5e9, 4e12: 10e9, 0: 0,
	} {
		if got := d.floor(size); got != want {
			t.Errorf("the floor of a disk of %s is %s, want %s", inUnits(size), inUnits(got), inUnits(want))
		}
	}
	d.FloorBytes = 5
	if got := d.floor(100e9); got != 5 {
		t.Errorf("the operator's floor is %d", got)
	}
}

func TestDiskLevels(t *testing.T) {
	const gb = 1e9
	disk := func(free float64) room { return room{free: int64(free * gb), size: 100 * gb} } // its floor is 5 GB
	logs := func(share float64) room { return room{free: 80 * gb, size: 100 * gb, logs: share} }
	tests := []struct {
		name  string
		steps []room
		want  []diskLevel
	}{
		{"it fills and empties", []room{disk(31), disk(30), disk(10), disk(5), disk(4.9), disk(6), disk(6.3), disk(14), disk(16), disk(34), disk(36)},
			[]diskLevel{diskOK, diskWarn, diskAlarm, diskAlarm, diskFloor, diskFloor, diskAlarm, diskAlarm, diskWarn, diskWarn, diskOK}},
		{"at a threshold nothing flutters", []room{disk(30), disk(30.9), disk(29.5), disk(31), disk(30)},
			[]diskLevel{diskWarn, diskWarn, diskWarn, diskWarn, diskWarn}},
		{"the logs fill theirs", []room{logs(0.69), logs(0.7), logs(0.9), logs(0.97), logs(0.93), logs(0.91), logs(0.5)},
			[]diskLevel{diskOK, diskWarn, diskAlarm, diskFloor, diskFloor, diskAlarm, diskOK}},
		{"all at once", []room{disk(1), disk(80)}, []diskLevel{diskFloor, diskOK}},
		{"a write is refused", []room{{refused: true, free: 80 * gb, size: 100 * gb}, disk(80)}, []diskLevel{diskFailed, diskOK}},
		{"a disk that does not tell", []room{{}}, []diskLevel{diskOK}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, level := defaultDisk(), diskOK
			for i, r := range tt.steps {
				if level = d.next(level, r); level != tt.want[i] {
					t.Fatalf("step %d: %v, want %v", i+1, level, tt.want[i])
				}
			}
		})
	}
}

// Whatever happens, the intake is never open below the floor, and the level is
// the same after a restart or one milder: a threshold that was only held.
func TestDiskLevelNeverOpensBelowTheFloor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, level := defaultDisk(), diskOK
		for range 50 {
			r := room{size: 100e9, free: rapid.Int64Range(0, 100e9).Draw(t, "free"), logs: rapid.Float64Range(0, 1).Draw(t, "logs")}
			level = d.next(level, r)
			fresh := d.next(diskOK, r)
			if level < fresh || level > fresh && d.next(level, r) != level {
				t.Fatalf("%+v gives %v, from the beginning %v", r, level, fresh)
			}
			if (r.free < 5e9 || r.logs >= logsFloor) && level < diskFloor {
				t.Fatalf("%+v gives %v", r, level)
			}
		}
	})
}
