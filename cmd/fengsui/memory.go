package main

import "runtime/debug"

// garbagePercent is how much garbage may lie beside what lives before it is
// collected. Go's own 100 doubles the memory of ten thousand devices; with half of
// that a message costs as much as before, within what can be measured, for hardly
// anything is allocated for it. GOGC in the environment does not change it.
const garbagePercent = 50

// settle gives back what only the start needed: of a devices file, once it is
// read, less remains than a tenth.
func settle() {
	debug.SetGCPercent(garbagePercent)
	debug.FreeOSMemory()
}
