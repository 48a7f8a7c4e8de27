package devices

import (
	"fmt"
	"time"
)

// clockComplaint follows a clock that is wrong, to tell its installer what to do
// without telling it with every message.
type clockComplaint struct {
	skew   int64 // of the last wrong time: the device's own less the receive time, ms
	steady int64 // how many wrong times in a row were off by about as much
	told   int64 // when it was told last, Unix ms; 0: not since the clock was right
}

// tellAgain is how long an installer is left alone with a clock that stays wrong.
const tellAgain = 60 * minute

// wrong notes a time that was not credible and reports whether to tell of it:
// the first, the one that makes the fault a steady one, and then now and again.
func (c *clockComplaint) wrong(own, received int64) bool {
	const jitter, steady = 5 * minute, 3
	skew := own - received
	if c.steady > 0 && max(skew-c.skew, c.skew-skew) <= jitter {
		c.steady++
	} else {
		c.steady = 1
	}
	c.skew = skew
	if c.told != 0 && c.steady != steady && received-c.told < tellAgain {
		return false
	}
	c.told = received
	return true
}

// zone is the offset that a clock seems to take for UTC: off by whole hours, as
// a local time is. Beijing's is so common that one time is proof enough.
func (c *clockComplaint) zone() (hours int64, found bool) {
	const hour = 60 * minute
	hours = (c.skew + hour/2) / hour
	if c.skew < 0 {
		hours = (c.skew - hour/2) / hour
	}
	off := max(c.skew-hours*hour, hours*hour-c.skew)
	if off > 5*minute || hours == 0 || hours < -12 || hours > 14 {
		return 0, false
	}
	return hours, hours == 8 || hours == -8 || c.steady >= 3
}

// complain tells the installer of a wrong clock.
func (o *Outcome) complain(d *Decoded, x *sample, c *clockComplaint) {
	d.device = x.device
	skew := time.Duration(c.skew) * time.Millisecond
	side := "ahead"
	if skew < 0 {
		side, skew = "behind", -skew
	}
	detail := fmt.Sprintf("the device says %s, which is %s %s: its readings get their time of arrival", time.UnixMilli(x.own).UTC().Format("2006-01-02T15:04:05Z"), about(skew), side)
	hint := "set the clock of the device"
	if hours, found := c.zone(); found {
		hint = fmt.Sprintf(`if its clock is right but keeps local time as UTC: set tz_lies: "%+03d:00" on the device or in its route`, hours)
	}
	o.Rejections = append(o.Rejections, d.rejection(CodeBadClock, "ts", detail, hint))
}

// about is a duration as people say it.
func about(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()+0.5))
	case d < 72*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	case d < 2*365*24*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24+0.5))
	}
	return fmt.Sprintf("%d years", int(d.Hours()/24/365.25+0.5))
}
