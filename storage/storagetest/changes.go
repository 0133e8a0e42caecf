package storagetest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/core"
)

// testChanges records every kind of change and looks at their sum after a restart.
func testChanges(t *testing.T, o *Owner) {
	if o.Restart == nil {
		t.Skip("the store has no restart")
	}
	large := message(3)
	large.Topic, large.Payload = "large", make([]byte, 300<<10)
	long := message(4)
	long.Topic = strings.Repeat("long/", 13000)
	session := core.Session{
		Receiver: alice, ClientID: "a:b", Identity: "user", Expiry: core.NeverExpires, Ended: clock.Now(),
	}
	kept := []core.Change{
		core.SessionSaved{Session: session},
		core.RuleSaved{Name: "cloud/0", Receiver: bob},
		core.SubscriptionSaved{Subscription: core.Subscription{Receiver: alice, Filter: "c/#", Options: 0x2d, ID: 268435455}},
		core.SubscriptionSaved{Subscription: core.Subscription{Receiver: alice, Filter: "b:c/#", Options: 1}},
		core.RetainedSaved{Message: message(1)},
		core.RetainedSaved{Message: large},
		core.RetainedSaved{Message: long},
		core.SubscriptionSaved{Subscription: core.Subscription{Receiver: alice, Filter: long.Topic + "/#", Options: 2}},
		core.IncomingHeld{Owner: alice, PacketID: 65535},
		core.OutgoingSaved{Outgoing: core.Outgoing{Owner: bob, PacketID: 1, Receiver: bob, Seq: 1 << 40, Released: true}},
		core.WillSaved{Will: core.Will{ClientID: "a:b", Identity: "user", Delay: time.Minute, Message: message(5)}},
	}
	gone := core.Session{Receiver: 99, ClientID: "gone"}
	var last core.Ticket
	for _, c := range []core.Change{
		core.SessionSaved{Session: gone},
		core.SubscriptionSaved{Subscription: core.Subscription{Receiver: 99, Filter: "x"}},
		core.IncomingHeld{Owner: 99, PacketID: 3},
		core.OutgoingSaved{Outgoing: core.Outgoing{Owner: 99, PacketID: 4}},
		core.SubscriptionSaved{Subscription: core.Subscription{Receiver: alice, Filter: "d"}},
		core.IncomingHeld{Owner: alice, PacketID: 7},
		core.OutgoingSaved{Outgoing: core.Outgoing{Owner: alice, PacketID: 8, Seq: 9}},
		core.RetainedSaved{Message: message(2)},
		core.WillSaved{Will: core.Will{ClientID: "gone", Message: message(6)}},
		core.RuleSaved{Name: "old", Receiver: 98},
		core.SessionSaved{Session: core.Session{Receiver: alice, ClientID: "a:b"}},
	} {
		last = o.Store.Record(c, false)
	}
	o.Until("the first half", func() bool { return o.Synced >= last })
	for _, c := range kept {
		o.Store.Record(c, true)
	}
	for _, c := range []core.Change{
		core.SessionDropped{ClientID: "gone", Receiver: 99},
		core.SubscriptionDropped{Receiver: alice, Filter: "d"},
		core.IncomingReleased{Owner: alice, PacketID: 7},
		core.OutgoingDone{Owner: alice, PacketID: 8},
		core.RetainedDropped{Topic: message(2).Topic},
		core.WillDropped{ClientID: "gone"},
		core.RuleDropped{Name: "old", Receiver: 98},
	} {
		last = o.Store.Record(c, false)
	}
	o.Until("the second half", func() bool { return o.Synced >= last })
	for range 2 {
		o = o.Reopened(t)
		o.wantState(kept)
	}
	o.Store.Record(core.IncomingReleased{Owner: alice, PacketID: 65535}, false)
	if err := o.Store.Load(func(core.Change) {}); err == nil {
		t.Error("load after record: no error")
	}
	o = o.Reopened(t) // what was recorded last is written by Close
	o.wantState(slices.Delete(slices.Clone(kept), 8, 9))
}

func (o *Owner) wantState(want []core.Change) {
	o.T.Helper()
	var got []core.Change
	if err := o.Store.Load(func(c core.Change) { got = append(got, c) }); err != nil {
		o.T.Fatalf("load: %v", err)
	}
	if i := slices.IndexFunc(got, func(c core.Change) bool { _, ok := c.(core.SubscriptionSaved); return ok }); i < 2 {
		o.T.Errorf("a subscription comes as change %d, before its session", i)
	}
	byText := func(a, b core.Change) int {
		return cmp.Compare(fmt.Sprintf("%T %+v", a, text(a)), fmt.Sprintf("%T %+v", b, text(b)))
	}
	want = slices.Clone(want)
	slices.SortFunc(want, byText)
	slices.SortFunc(got, byText)
	if diff := gocmp.Diff(want, got, gocmp.Comparer(bytes.Equal)); diff != "" {
		o.T.Errorf("state (-want +got):\n%s", diff)
	}
}

// text tells changes of one kind apart.
func text(c core.Change) any {
	if r, ok := c.(core.RetainedSaved); ok {
		return r.Message.Topic
	}
	return c
}
