package pacer

// A Part is one limit of a Schedule, for a store that computes slots where this package can't run. What it has no arithmetic
// for it leaves to the Schedule.
type Part struct {
	Limit    Limit // in force
	At       int   // where in the bytes of AppendBinary the state of the limit begins
	Calendar bool  // whether it is a window of a calendar
}

// Units returns how many units the limit of a Part can grant at once.
func (p Part) Units() int64 { return p.Limit.most() }

// Parts returns the limits, and where AppendBinary has the state of each of them.
//
// A bucket has TAT as ns and as a numerator over Events; a sliding window the positions of its oldest run and behind its newest, the
// units in it, when the newest run was and how many units it has, and when the first of those was granted; a fixed window its start,
// its end and the units in it. Each is an int64, little-endian.
func (s *Schedule) Parts() []Part {
	parts := make([]Part, s.count)
	at := scheduleHead
	if said := s.said(); said != [len(said)]int64{} {
		at += saidSize
	}
	for i := range parts {
		m := s.at(i)
		size := len(m.appendBinary(nil))
		state := meterHead
		if m.set.Zone != "" {
			state += zoneMost
		}
		parts[i] = Part{Limit: m.limit, At: at + state, Calendar: m.cal != nil}
		at += size
	}
	return parts
}

// Advance has what is scheduled up to now happen: the end of a cooldown, and the steps of an adaptation. What is due by now must
// have been taken before.
func (s *Schedule) Advance(now int64) { s.advance(now) }

// Scheduled returns when the cooldown ends, as long as no grant was made since, and when the rate in force changes next; 0 is never.
// What Parts returns is good until then.
func (s *Schedule) Scheduled() (cool, step int64) {
	if s.pending {
		cool = s.until
	}
	if s.adapt.most > 0 {
		step = s.adapt.boundary()
	}
	return cool, step
}
