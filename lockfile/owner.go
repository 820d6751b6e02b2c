package lockfile

import (
	"errors"
	"slices"
)

// alive reports whether the owner of an entry lives, and has not left. It is called with mu held.
func (f *File) alive(e entry) bool {
	if f.owner != 0 && e.owner == f.owner { // a lock does not keep its owner out
		return f.owns(e)
	}
	return f.owners.alive(e.owner)
}

// owns reports whether an entry is one of ours that has not left.
func (f *File) owns(e entry) bool {
	_, ok := f.mine[e.ticket]
	return ok && e.owner == f.owner
}

// claim sees to it that we have a number as an owner, and that the next ticket is not one that we have from before damage.
func (f *File) claim(st *state) error {
	for {
		if _, ok := f.mine[st.next]; !ok {
			break
		}
		st.next++
	}
	for n := max(uint32(st.next), f.owner0+1); f.owner == 0; n++ { // a number that nobody has had lately
		if n == 0 || st.belongs(n) {
			continue
		}
		switch err := f.owners.claim(n); {
		case err == nil:
			f.owner = n
		case !errors.Is(err, errTaken):
			return err
		}
	}
	return nil
}

// belongs reports whether an entry belongs to an owner.
func (s *state) belongs(owner uint32) bool {
	has := func(e entry) bool { return e.owner == owner }
	return slices.ContainsFunc(s.waiting, has) || slices.ContainsFunc(s.granted, has)
}
