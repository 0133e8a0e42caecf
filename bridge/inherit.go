package bridge

import "slices"

// Inherit takes over from a bridge of the same name that has ended, and had another
// configuration: its packet ids, what is on its way to the disk, what was counted.
// It is to be called before Run. Rules are matched by their queues.
func (b *Bridge) Inherit(old *Bridge) {
	b.out, b.in = old.out, old.in
	b.records, b.synced = old.records, old.synced
	b.holding, b.releases, b.unreleased = old.holding, old.releases, old.unreleased
	b.events = old.events // answers that are still to come go there
	b.suspect, b.condemned, b.rivals = old.suspect, old.condemned, old.rivals
	b.linkID, b.unlogged = old.linkID, old.unlogged
	if b.home = nil; old.home != nil {
		b.home = b.homeNamed(old.homeName(old.home))
	}
	for _, o := range b.outlets {
		if was := old.outlet(o.receiver); was != nil && o.receiver != 0 {
			o.tally = was.tally
			o.paused.Store(was.paused.Load())
		}
	}
	b.inheritParts()
	b.stale = slices.Clone(old.stale)
	for _, in := range b.inlets {
		for _, was := range old.inlets {
			if was.filter == in.filter {
				in.tally = was.tally
			}
		}
	}
	for _, was := range old.inlets {
		b.stale = append(b.stale, was.filter)
	}
	b.stale = slices.DeleteFunc(b.stale, func(filter string) bool {
		return slices.ContainsFunc(b.inlets, func(in *inlet) bool { return in.filter == filter })
	})
	b.former = slices.Clone(old.former)
	if was := old.cfg.StateTopic; was != "" && was != b.cfg.StateTopic {
		b.former = append(b.former, was)
	}
	b.power.off = old.power.isOff()
}
