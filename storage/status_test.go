package storage_test

import (
	"fmt"
	"testing"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/storage"
	"github.com/weir-edge/weir/storage/storagetest"
)

// TestMessagesOwed: the status counts each message once, to however many receivers
// it is owed.
func TestMessagesOwed(t *testing.T) {
	const first, second, third core.ReceiverID = 41, 42, 43
	const n = 30
	for _, c := range []struct {
		name  string
		debts func(i int) []core.Debt
		take  map[core.ReceiverID]int
		want  uint64
	}{
		{"one receiver", func(int) []core.Debt { return []core.Debt{{Receiver: first}} }, map[core.ReceiverID]int{first: 12}, n - 12},
		{"all to all", func(int) []core.Debt {
			return []core.Debt{{Receiver: first}, {Receiver: second}, {Receiver: third}}
		}, map[core.ReceiverID]int{first: 20, second: 25, third: n}, n - 20},
		{"all to one, some to another that is ahead", func(i int) []core.Debt {
			return []core.Debt{{Receiver: first}, {Receiver: second}}[:1+i%2]
		}, map[core.ReceiverID]int{first: 10, second: 10}, n - 10},
		{"each to one of three", func(i int) []core.Debt {
			return []core.Debt{{Receiver: []core.ReceiverID{first, second, third}[i%3]}}
		}, map[core.ReceiverID]int{first: 4, third: n / 3}, n - 4 - n/3},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := storagetest.NewOwner(t, open(t, storage.Config{Dir: scratch(t)}))
			for _, r := range []core.ReceiverID{first, second, third} {
				o.Store.Record(core.RuleSaved{Name: fmt.Sprint("rule ", r), Receiver: r}, false)
			}
			var all []core.Seq
			for i := range n {
				all = append(all, o.Append(noise(i), 0, c.debts(i)...))
			}
			o.UntilSettled(all...)
			for r, count := range c.take {
				for left := count; left > 0; {
					next, _ := o.Fetch(r, left)
					for _, d := range next {
						o.Paid(r, d.Seq)
					}
					left -= len(next)
				}
			}
			if got := o.Store.Status().Messages; got != c.want {
				t.Errorf("%d messages owed, want %d", got, c.want)
			}
			o = o.Reopened(t)
			if got := o.Store.Status().Messages; got != c.want {
				t.Errorf("after a restart %d, want %d", got, c.want)
			}
		})
	}
}
