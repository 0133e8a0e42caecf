package access

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/topic"
)

func allow(r Rule, topics ...string) Rule {
	r.Publish, r.Subscribe, r.Topics = true, true, topics
	return r
}

func deny(r Rule, topics ...string) Rule {
	r = allow(r, topics...)
	r.Deny = true
	return r
}

func rules(t testing.TB, list ...Rule) *Rules {
	t.Helper()
	for i := range list {
		list[i].Where = "rule " + string(rune('1'+i))
	}
	rs, err := New(list, map[string][]string{"crew": {"anna", "ben"}})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// TestDecide: which rule decides; "" is none, which is a no.
func TestDecide(t *testing.T) {
	lan, wan := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")
	everybody := Rule{}
	for name, tc := range map[string]struct {
		rules []Rule
		who   broker.Principal
		do    broker.Access
		topic string
		want  string // the rule that decides
		ok    bool
	}{
		"no rule":                        {nil, broker.Principal{}, broker.Publish, "a", "", false},
		"allowed":                        {[]Rule{allow(everybody, "a/#")}, broker.Principal{}, broker.Publish, "a/b", "rule 1", true},
		"not named":                      {[]Rule{allow(everybody, "a/#")}, broker.Principal{}, broker.Publish, "b", "", false},
		"the first decides, no":          {[]Rule{deny(everybody, "a/secret"), allow(everybody, "a/#")}, broker.Principal{}, broker.Receive, "a/secret", "rule 1", false},
		"the first decides, yes":         {[]Rule{allow(everybody, "a/#"), deny(everybody, "a/secret")}, broker.Principal{}, broker.Receive, "a/secret", "rule 1", true},
		"publish only":                   {[]Rule{{Publish: true, Topics: []string{"a"}}}, broker.Principal{}, broker.Receive, "a", "", false},
		"subscribe only":                 {[]Rule{{Subscribe: true, Topics: []string{"a"}}}, broker.Principal{}, broker.Publish, "a", "", false},
		"user":                           {[]Rule{allow(Rule{Users: []string{"anna"}}, "a")}, broker.Principal{Identity: "anna"}, broker.Publish, "a", "rule 1", true},
		"another user":                   {[]Rule{allow(Rule{Users: []string{"anna"}}, "a")}, broker.Principal{Identity: "Anna"}, broker.Publish, "a", "", false},
		"nobody is no user":              {[]Rule{allow(Rule{Users: []string{""}}, "a")}, broker.Principal{}, broker.Publish, "a", "", false},
		"group":                          {[]Rule{allow(Rule{Groups: []string{"crew"}}, "a")}, broker.Principal{Identity: "ben"}, broker.Publish, "a", "rule 1", true},
		"not in the group":               {[]Rule{allow(Rule{Groups: []string{"crew"}}, "a")}, broker.Principal{Identity: "carl"}, broker.Publish, "a", "", false},
		"user or group":                  {[]Rule{allow(Rule{Groups: []string{"crew"}, Users: []string{"carl"}}, "a")}, broker.Principal{Identity: "carl"}, broker.Publish, "a", "rule 1", true},
		"client id":                      {[]Rule{allow(Rule{ClientIDs: []string{"m-*", "x"}}, "a")}, broker.Principal{ClientID: "m-7"}, broker.Publish, "a", "rule 1", true},
		"another client id":              {[]Rule{allow(Rule{ClientIDs: []string{"m-*", "x"}}, "a")}, broker.Principal{ClientID: "xy"}, broker.Publish, "a", "", false},
		"network":                        {[]Rule{allow(Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "a")}, broker.Principal{From: lan}, broker.Publish, "a", "rule 1", true},
		"another network":                {[]Rule{allow(Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "a")}, broker.Principal{From: wan}, broker.Publish, "a", "", false},
		"unknown address, allowed":       {[]Rule{allow(Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, "a")}, broker.Principal{}, broker.Publish, "a", "", false},
		"unknown address, denied":        {[]Rule{deny(Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "a"), allow(everybody, "#")}, broker.Principal{}, broker.Publish, "a", "rule 1", false},
		"all conditions":                 {[]Rule{allow(Rule{Users: []string{"anna"}, ClientIDs: []string{"x"}}, "a")}, broker.Principal{Identity: "anna", ClientID: "y"}, broker.Publish, "a", "", false},
		"anonymous":                      {[]Rule{allow(Rule{Anonymous: true}, "a")}, broker.Principal{ClientID: "y"}, broker.Publish, "a", "rule 1", true},
		"not anonymous":                  {[]Rule{allow(Rule{Anonymous: true}, "a")}, broker.Principal{Identity: "anna"}, broker.Publish, "a", "", false},
		"C15 # is not $SYS":              {[]Rule{allow(everybody, "#", "+/#")}, broker.Principal{}, broker.Receive, "$SYS/broker/version", "", false},
		"C15 # is not $SYS/#":            {[]Rule{allow(everybody, "#", "+/#")}, broker.Principal{}, broker.Subscribe, "$SYS/#", "", false},
		"C15 $SYS by name":               {[]Rule{allow(everybody, "$SYS/#")}, broker.Principal{}, broker.Subscribe, "$SYS/#", "rule 1", true},
		"own name":                       {[]Rule{allow(everybody, "dev/%u/%c/#")}, broker.Principal{Identity: "anna", ClientID: "x"}, broker.Publish, "dev/anna/x/y", "rule 1", true},
		"another's name":                 {[]Rule{allow(everybody, "dev/%u/#")}, broker.Principal{Identity: "anna"}, broker.Publish, "dev/ben/y", "", false},
		"name within a level":            {[]Rule{allow(everybody, "dev/m-%c/#")}, broker.Principal{ClientID: "x"}, broker.Publish, "dev/m-x/y", "rule 1", true},
		"literal %u":                     {[]Rule{allow(Rule{Literal: true}, "dev/%u")}, broker.Principal{Identity: "anna"}, broker.Publish, "dev/%u", "rule 1", true},
		"C8 #":                           {[]Rule{allow(everybody, "dev/%c/#")}, broker.Principal{ClientID: "#"}, broker.Publish, "dev/x/y", "", false},
		"C8 +":                           {[]Rule{allow(everybody, "dev/%c/#")}, broker.Principal{ClientID: "+"}, broker.Publish, "dev/x/y", "", false},
		"C8 + subscribes":                {[]Rule{allow(everybody, "dev/%c/#")}, broker.Principal{ClientID: "+"}, broker.Subscribe, "dev/+/#", "", false},
		"C8 slash":                       {[]Rule{allow(everybody, "dev/%c/#")}, broker.Principal{ClientID: "a/b"}, broker.Publish, "dev/a/b/y", "", false},
		"C8 empty":                       {[]Rule{allow(everybody, "dev/%u/#")}, broker.Principal{}, broker.Publish, "dev//y", "", false},
		"C8 control character":           {[]Rule{allow(everybody, "dev/%c/#")}, broker.Principal{ClientID: "a\nb"}, broker.Publish, "dev/a\nb/y", "", false},
		"C8 - is a name":                 {[]Rule{allow(everybody, "dev/%c/#")}, broker.Principal{ClientID: "-"}, broker.Publish, "dev/-/y", "rule 1", true},
		"C8 - is nobody else":            {[]Rule{allow(everybody, "dev/%c/#")}, broker.Principal{ClientID: "-"}, broker.Publish, "dev/x/y", "", false},
		"C8 $SYS as a name":              {[]Rule{allow(everybody, "%c/#")}, broker.Principal{ClientID: "$SYS"}, broker.Receive, "$SYS/broker", "", false},
		"C8 a name that asks for more":   {[]Rule{allow(everybody, "dev/%u/#")}, broker.Principal{Identity: "%c", ClientID: "ben"}, broker.Publish, "dev/ben/y", "", false},
		"C8 deny holds for such a name":  {[]Rule{deny(everybody, "dev/%c/secret"), allow(everybody, "#")}, broker.Principal{ClientID: "+"}, broker.Receive, "dev/x/secret", "rule 1", false},
		"C1 # with something to get":     {[]Rule{deny(everybody, "a/secret"), allow(everybody, "a/#")}, broker.Principal{}, broker.Subscribe, "#", "rule 2", true},
		"C1 + with something to get":     {[]Rule{deny(everybody, "a/secret"), allow(everybody, "a/#")}, broker.Principal{}, broker.Subscribe, "a/+", "rule 2", true},
		"C1 nothing to get":              {[]Rule{allow(everybody, "a/#")}, broker.Principal{}, broker.Subscribe, "b/#", "", false},
		"C1 all of it denied":            {[]Rule{deny(everybody, "a/#"), allow(everybody, "#")}, broker.Principal{}, broker.Subscribe, "a/+/b", "rule 1", false},
		"C1 a filter without a wildcard": {[]Rule{deny(everybody, "a/secret"), allow(everybody, "a/#")}, broker.Principal{}, broker.Subscribe, "a/secret", "rule 1", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules(t, tc.rules...).RightsOf(tc.who)
			where := ""
			if rule := r.Decide(tc.do, tc.topic); rule != nil {
				where = rule.Where
			}
			if got := r.May(tc.do, tc.topic); got != tc.ok || where != tc.want {
				t.Errorf("%v by %q, want %v by %q", got, where, tc.ok, tc.want)
			}
		})
	}
}

func TestFilters(t *testing.T) {
	for _, tc := range []struct {
		a, b            string
		overlap, covers bool
	}{
		{"a", "a", true, true},
		{"a", "b", false, false},
		{"a/#", "a", true, true},
		{"a", "a/#", true, false},
		{"#", "a/+/b", true, true},
		{"a/+/b", "#", true, false},
		{"+/b", "a/+", true, false},
		{"a/+", "a/#", true, false},
		{"a/#", "a/+", true, true},
		{"a/+/c", "a/b/+", true, false},
		{"a/b", "a/b/c", false, false},
		{"a/b/c", "a/b", false, false},
		{"#", "$SYS/#", false, false},
		{"+/x", "$SYS/x", false, false},
		{"$SYS/#", "$SYS/+", true, true},
		{"/", "/", true, true},
		{"+/+", "/", true, true},
		{"+", "/", false, false},
	} {
		if got := overlap(tc.a, tc.b); got != tc.overlap || overlap(tc.b, tc.a) != got {
			t.Errorf("overlap %q %q: %v", tc.a, tc.b, got)
		}
		if got := covers(tc.a, tc.b); got != tc.covers {
			t.Errorf("covers %q %q: %v", tc.a, tc.b, got)
		}
	}
}

// FuzzMatch: the short cut says what topic.Match says.
func FuzzMatch(f *testing.F) {
	for _, filter := range []string{"#", "/#", "a/#", "a/b", "+/a", "a/+", "a/+/#", "$SYS/#", "//#", "a"} {
		f.Add(filter, "a/b")
		f.Add(filter, "/")
	}
	f.Fuzz(func(t *testing.T, filter, name string) {
		if topic.ValidFilter(filter) != nil || topic.ValidName(name) != nil {
			return
		}
		e := newEntry(filter, nil)
		if got, want := e.matches(name), topic.Match(filter, name); got != want {
			t.Errorf("%q %q: %v, want %v", filter, name, got, want)
		}
	})
}

func TestRulesThatAreNone(t *testing.T) {
	for name, r := range map[string]Rule{
		"no topics":      {Publish: true},
		"bad filter":     allow(Rule{}, "a/#/b"),
		"shared":         allow(Rule{}, "$share/g/a"),
		"nothing":        {Topics: []string{"a"}},
		"* in an id":     allow(Rule{ClientIDs: []string{"*a"}}, "a"),
		"empty as topic": allow(Rule{}, ""),
	} {
		if _, err := New([]Rule{r}, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestSharedRights(t *testing.T) {
	rs := rules(t, allow(Rule{}, "a/#"), allow(Rule{Users: []string{"anna"}}, "b/#"))
	one, two := rs.RightsOf(broker.Principal{ClientID: "1"}), rs.RightsOf(broker.Principal{ClientID: "2"})
	if one != two {
		t.Error("the same rights are made twice")
	}
	if rs.RightsOf(broker.Principal{Identity: "anna"}) == one {
		t.Error("different rights are shared")
	}
}

func TestMosquitto(t *testing.T) {
	file := "\ufeff# who has no name\r\ntopic read public/#\n\nuser anna\ntopic plant/#\n  topic deny plant/secret\ntopic write cmd/two words\nuser ben b\ntopic readwrite x/%u\npattern write dev/%c/#\npattern deny dev/%u/no\n"
	list, err := ParseMosquitto("acl", strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := New(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		user, id string
		do       broker.Access
		topic    string
		want     string
		ok       bool
	}{
		{"", "", broker.Receive, "public/x", "acl:2", true},
		{"", "", broker.Publish, "public/x", "", false},
		{"anna", "", broker.Receive, "public/x", "", false}, // the first lines are about who has no name
		{"anna", "", broker.Publish, "plant/x", "acl:5", true},
		{"anna", "", broker.Receive, "plant/secret", "acl:6", false}, // though it stands behind
		{"anna", "", broker.Publish, "cmd/two words", "acl:7", true},
		{"anna", "", broker.Receive, "cmd/two words", "", false},
		{"ben b", "", broker.Receive, "x/%u", "acl:9", true},
		{"ben b", "", broker.Receive, "x/ben b", "", false},
		{"anna", "d1", broker.Publish, "dev/d1/t", "acl:10", true},
		{"anna", "d1", broker.Publish, "dev/anna/no", "acl:11", false},
		{"", "#", broker.Publish, "dev/d1/t", "", false},
	} {
		r := rs.RightsOf(broker.Principal{Identity: tc.user, ClientID: tc.id})
		where := ""
		if rule := r.Decide(tc.do, tc.topic); rule != nil {
			where = rule.Where
		}
		if got := r.May(tc.do, tc.topic); got != tc.ok || where != tc.want {
			t.Errorf("%+v: %v by %q", tc, got, where)
		}
	}
}

// TestMosquittoC16: what cannot be read whole is not read at all.
func TestMosquittoC16(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"empty":            {"", "has no rule"},
		"comments only":    {"# nothing\n\n", "has no rule"},
		"a user only":      {"user anna\n", "has no rule"},
		"unknown word":     {"topic a\ntopics b\n", "acl:2: \"topics\" is none of"},
		"unknown access":   {"topic rw a\n", "acl:1: \"rw\" is none of"},
		"bad filter":       {"topic read a/#/b\n", "acl:1"},
		"no filter":        {"topic read \n", "acl:1"},
		"no user":          {"user\ntopic a\n", "acl:1"},
		"spaces in a name": {"user anna \ntopic a\n", "acl:1"},
	} {
		t.Run("C16 "+name, func(t *testing.T) {
			_, err := ParseMosquitto("acl", strings.NewReader(tc.file))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzMosquitto(f *testing.F) {
	f.Add("user anna\ntopic read a/#\npattern deny dev/%c/#\n", "anna", "id", "a/b")
	f.Add("topic deny a\n", "", "#", "a")
	f.Fuzz(func(t *testing.T, file, user, id, name string) {
		list, err := ParseMosquitto("acl", strings.NewReader(file))
		if err != nil {
			return
		}
		rs, err := New(list, nil)
		if err != nil {
			t.Fatalf("a file that was read makes no rules: %v", err)
		}
		r := rs.RightsOf(broker.Principal{Identity: user, ClientID: id})
		for _, do := range []broker.Access{broker.Publish, broker.Receive} {
			if rule := r.Decide(do, name); rule != nil && strings.HasPrefix(name, "$") && !strings.HasPrefix(rule.Topics[0], "$") {
				t.Errorf("%v decides about %q", rule, name)
			}
		}
	})
}

// FuzzWiden: whatever a client calls itself, a rule with its name in a level gives it
// topics of exactly that many levels, with that name.
func FuzzWiden(f *testing.F) {
	for _, id := range []string{"#", "+", "a/b", "", "$SYS", "%u", "x"} {
		f.Add(id, "dev/x/y")
	}
	f.Fuzz(func(t *testing.T, id, name string) {
		rs, err := New([]Rule{allow(Rule{}, "dev/%c/+")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !rs.RightsOf(broker.Principal{ClientID: id, Identity: id}).May(broker.Publish, name) {
			return
		}
		if levels := strings.Split(name, "/"); len(levels) != 3 || levels[0] != "dev" || levels[1] != id {
			t.Errorf("%q may publish to %q", id, name)
		}
	})
}

func BenchmarkMay(b *testing.B) {
	rs := rules(b,
		deny(Rule{}, "plant/+/secret"), allow(Rule{Groups: []string{"crew"}}, "cmd/#"), allow(Rule{}, "dev/%c/#"),
		allow(Rule{Users: []string{"other"}}, "x/#"), allow(Rule{}, "plant/line1/+/temperature", "plant/#"))
	for name, topic := range map[string]string{"allowed": "plant/line2/m7/voltage", "denied": "other/line2/m7/voltage"} {
		b.Run(name, func(b *testing.B) {
			r := rs.Rights(broker.Principal{Identity: "anna", ClientID: "m7"})
			b.ReportAllocs()
			for b.Loop() {
				r.May(broker.Receive, topic)
			}
		})
	}
}

func TestMayDoesNotAllocate(t *testing.T) {
	r := rules(t, deny(Rule{}, "a/+/secret"), allow(Rule{}, "dev/%c/#")).Rights(broker.Principal{ClientID: "m7"})
	if n := testing.AllocsPerRun(100, func() { r.May(broker.Publish, "dev/m7/x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
