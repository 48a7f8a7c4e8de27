// Package web is the console's page: its source, the program that builds it, and
// its tests in a real browser, behind the real console. It holds no Go code but
// those.
//
// In: frames and answers of the console (PROTOCOL.md). Out: what people see, and
// their commands. What survives a crash: nothing; a page that comes back resumes
// where it was or takes a snapshot. What it will not do: show as alive what it no
// longer hears, or as done what the gateway has not confirmed.
package web
