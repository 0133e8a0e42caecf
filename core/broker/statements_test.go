package broker_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The numbered statements of the standards that bind a server.
const (
	statements311 = `1.5.3-1 1.5.3-2 1.5.3-3 2.2.2-1 2.2.2-2 2.3.1-3 2.3.1-4 2.3.1-5 2.3.1-6 2.3.1-7
		3.1.0-2 3.1.2-1 3.1.2-2 3.1.2-3 3.1.2-4 3.1.2-5 3.1.2-6 3.1.2-7 3.1.2-8 3.1.2-10 3.1.2-12 3.1.2-16 3.1.2-17 3.1.2-24
		3.1.3-2 3.1.3-5 3.1.3-6 3.1.3-8 3.1.3-9 3.1.4-1 3.1.4-2 3.1.4-3 3.1.4-4 3.1.4-5
		3.2.0-1 3.2.2-1 3.2.2-2 3.2.2-3 3.2.2-4 3.2.2-5 3.2.2-6
		3.3.1-1 3.3.1-2 3.3.1-3 3.3.1-4 3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-8 3.3.1-9 3.3.1-10 3.3.1-11 3.3.1-12
		3.3.2-1 3.3.2-2 3.3.2-3 3.3.4-1 3.3.5-1 3.3.5-2 3.6.1-1 3.8.1-1 3.8.3-2 3.8.3-4
		3.8.4-1 3.8.4-2 3.8.4-3 3.8.4-4 3.8.4-5 3.8.4-6 3.9.3-1 3.9.3-2
		3.10.1-1 3.10.4-1 3.10.4-2 3.10.4-3 3.10.4-4 3.10.4-5 3.10.4-6 3.12.4-1 3.14.1-1 3.14.4-3
		4.1.0-1 4.1.0-2 4.3.1-1 4.3.2-1 4.3.2-2 4.3.3-1 4.3.3-2 4.4.0-1 4.5.0-1 4.6.0-5 4.6.0-6
		4.7.1-1 4.7.2-1 4.7.3-1 4.7.3-2 4.7.3-3 4.7.3-4 4.8.0-1 4.8.0-2 6.0.0-1 6.0.0-2 6.0.0-4 7.0.0-1 7.0.0-2 7.1.1-1`

	statements5 = `1.5.4-1 1.5.4-2 1.5.4-3 1.5.5-1 1.5.7-1 2.1.3-1 2.2.1-2 2.2.1-4 2.2.1-5 2.2.1-6 2.2.2-1
		3.1.0-2 3.1.2-1 3.1.2-2 3.1.2-3 3.1.2-4 3.1.2-5 3.1.2-6 3.1.2-7 3.1.2-8 3.1.2-10 3.1.2-14 3.1.2-15 3.1.2-22 3.1.2-23
		3.1.2-24 3.1.2-25 3.1.2-26 3.1.2-27 3.1.2-28 3.1.2-29 3.1.3-2 3.1.3-5 3.1.3-6 3.1.3-7 3.1.3-8 3.1.3-9 3.1.3-10
		3.1.4-1 3.1.4-2 3.1.4-3 3.1.4-4 3.1.4-5 3.1.4-6 3.2.0-1 3.2.0-2 3.2.2-1 3.2.2-2 3.2.2-3 3.2.2-6 3.2.2-7 3.2.2-8
		3.2.2-9 3.2.2-10 3.2.2-12 3.2.2-13 3.2.2-16 3.2.2-19 3.2.2-20 3.2.2-22
		3.3.1-1 3.3.1-2 3.3.1-3 3.3.1-4 3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-8 3.3.1-9 3.3.1-10 3.3.1-11 3.3.1-12 3.3.1-13
		3.3.2-1 3.3.2-2 3.3.2-3 3.3.2-4 3.3.2-5 3.3.2-6 3.3.2-7 3.3.2-8 3.3.2-11 3.3.2-12 3.3.2-13 3.3.2-14 3.3.2-15 3.3.2-16
		3.3.2-17 3.3.2-18 3.3.2-19 3.3.2-20 3.3.4-1 3.3.4-2 3.3.4-3 3.3.4-4 3.3.4-5 3.3.4-9 3.3.4-10
		3.4.2-1 3.4.2-2 3.4.2-3 3.5.2-1 3.5.2-2 3.5.2-3 3.6.1-1 3.6.2-1 3.6.2-2 3.6.2-3 3.7.2-1 3.7.2-2 3.7.2-3
		3.8.1-1 3.8.3-3 3.8.3-5 3.8.4-1 3.8.4-2 3.8.4-3 3.8.4-4 3.8.4-5 3.8.4-6 3.8.4-7 3.8.4-8 3.9.2-1 3.9.2-2 3.9.3-1 3.9.3-2
		3.10.1-1 3.10.4-1 3.10.4-2 3.10.4-3 3.10.4-4 3.10.4-5 3.10.4-6 3.11.2-1 3.11.2-2 3.11.3-1 3.11.3-2 3.12.4-1
		3.14.0-1 3.14.1-1 3.14.2-1 3.14.2-2 3.14.2-3 3.14.2-4 3.14.4-1 3.14.4-2 3.14.4-3 3.15.1-1 3.15.2-1 3.15.2-2 3.15.2-3
		4.1.0-1 4.1.0-2 4.2.0-1 4.3.1-1 4.3.2-1 4.3.2-2 4.3.2-3 4.3.2-4 4.3.2-5
		4.3.3-1 4.3.3-2 4.3.3-3 4.3.3-4 4.3.3-5 4.3.3-6 4.3.3-7 4.3.3-8 4.3.3-9 4.3.3-10 4.3.3-11 4.3.3-12 4.3.3-13
		4.4.0-1 4.4.0-2 4.5.0-1 4.6.0-5 4.6.0-6 4.7.0-1 4.7.2-1 4.7.3-1 4.7.3-2 4.7.3-3 4.7.3-4
		4.8.2-1 4.8.2-2 4.8.2-3 4.8.2-4 4.8.2-5 4.8.2-6 4.9.0-1 4.9.0-2 4.9.0-3
		4.12.0-1 4.12.0-2 4.12.0-4 4.12.0-5 4.12.0-6 4.12.1-2 4.13.1-1 4.13.2-1 6.0.0-1 6.0.0-2 6.0.0-4`
)

// proof: a test, and the statements that it proves.
type proof struct{ test, v311, v5 string }

var proofs = []proof{
	{"packet.TestRefused", "1.5.3-1 1.5.3-2 2.2.2-1 2.2.2-2 3.3.1-2 3.3.1-4 3.3.2-2 3.6.1-1 3.8.1-1 3.8.3-4 3.10.1-1 3.14.1-1 4.7.1-1 4.7.3-1", "1.5.4-1 1.5.4-2 1.5.5-1 2.1.3-1 3.1.2-3 3.2.2-1 3.2.2-8 3.3.1-2 3.3.1-4 3.3.2-2 3.4.2-1 3.5.2-1 3.6.1-1 3.6.2-1 3.7.2-1 3.8.1-1 3.8.3-5 3.9.3-2 3.10.1-1 3.11.3-2 3.14.1-1 3.14.2-1 3.15.1-1 3.15.2-1 4.7.3-1"},
	{"packet.TestPropertyValues", "", "1.5.7-1 3.3.2-8 3.3.2-13 3.3.2-14 3.3.2-19"},
	{"packet.TestAppendAndSize", "2.3.1-5 3.3.2-1", "2.2.1-2 2.2.2-1 3.3.2-1"},
	{"topic.TestValidName", "1.5.3-3 4.7.1-1 4.7.3-1 4.7.3-2 4.7.3-3", "1.5.4-3 4.7.0-1 4.7.3-1 4.7.3-2 4.7.3-3"},
	{"topic.TestValidFilter", "", "4.8.2-1 4.8.2-2"},
	{"session.TestOutboundSteps", "2.3.1-3 2.3.1-6 4.3.2-1 4.3.3-1", "2.2.1-5 4.3.2-3 4.3.3-3 4.3.3-4 4.3.3-5"},
	{"session.TestOutboundReconnect", "4.4.0-1 3.3.1-1", "3.3.1-1 4.3.3-6 4.4.0-1"},
	{"session.TestOutboundProperty", "2.3.1-3 2.3.1-4 4.3.2-1 4.3.3-1", "2.2.1-4 4.3.2-1 4.3.3-1 4.3.3-6 4.9.0-1"},
	{"session.TestInbound", "4.3.2-2 4.3.3-2", "4.3.2-5 4.3.3-9 4.3.3-12"},
	{"session.TestAliasesIn", "", "3.3.2-12"},
	{"session.TestAliasesOut", "", "3.3.2-11 3.1.2-27"},
	{"session.TestEncoder", "", "3.3.2-17 3.3.2-18"},

	{"broker.TestBeforeConnect", "3.1.2-1 3.1.2-2 3.1.2-3 3.1.4-1", "3.1.2-1 3.1.2-2 3.1.2-3 3.1.4-1 3.1.4-2 3.1.3-8 3.14.0-1"},
	{"broker.TestMalformed", "", "3.1.0-2 3.14.4-1 3.14.4-2 4.13.1-1 4.13.2-1 3.14.2-2"},
	{"broker.TestMalformedV311", "3.1.0-2 4.8.0-1 4.8.0-2 3.8.1-1 3.8.3-4", ""},
	{"broker.TestFilters", "3.8.3-2 3.9.3-2", "4.8.2-1 4.8.2-2 3.9.3-2"},
	{"broker.TestForbiddenTopics", "", "4.7.2-1"},
	{"broker.TestKeepAliveB14", "3.1.2-24", "3.1.2-22 3.2.2-22"},
	{"broker.TestConnack", "3.1.3-6 3.1.4-4 3.2.0-1", "3.1.3-6 3.1.3-7 3.1.4-5 3.2.0-1 3.2.0-2 3.2.2-16 3.1.2-28"},
	{"broker.TestRefusals", "3.1.3-8 3.1.3-9 3.2.2-4 3.2.2-5 3.2.2-6", "3.1.3-8 3.2.2-6 3.2.2-7 4.12.0-1 4.12.0-4"},
	{"broker.TestSessionPresent", "3.1.2-4 3.1.2-6 3.1.3-2 3.1.4-2 3.1.4-3 3.2.2-1 3.2.2-2 3.2.2-3", "3.1.2-4 3.1.2-5 3.1.2-6 3.1.3-2 3.1.4-3 3.1.4-4 3.2.2-2 3.2.2-3"},
	{"broker.TestSessionExpiry", "4.1.0-1 4.1.0-2", "3.1.2-23 4.1.0-1 4.1.0-2"},
	{"broker.TestWill", "3.1.2-8 3.1.2-10 3.14.4-3", "3.1.2-7 3.1.2-8 3.1.2-10 3.1.3-9 3.14.4-3"},
	{"broker.TestWillOfKeepAlive", "3.1.2-17 3.1.2-24", "3.1.2-15"},
	{"broker.TestWillAtTakeover", "", "3.1.3-9"},
	{"broker.TestWillIsNotRetained", "3.1.2-12 3.1.2-16", "3.1.2-14 3.1.3-10"},
	{"broker.TestRestart", "3.1.2-5 3.3.1-1 4.4.0-1", "3.3.1-1 4.4.0-1"},
	{"broker.TestAuthorisation", "3.3.5-2", ""},
	{"broker.TestPropertiesTravel", "", "3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20"},
	{"broker.TestMessageExpiry", "", "3.3.2-5 3.3.2-6"},
	{"broker.TestExpiryInFlight", "", "4.3.3-7 4.3.3-13"},
	{"broker.TestMaximumPacketSize", "", "3.1.2-24 3.1.2-25"},
	{"broker.TestTopicAliases", "", "3.1.2-26 3.3.2-7 3.3.2-11"},
	{"broker.TestNoAliases", "", "3.1.2-27"},
	{"broker.TestReceiveMaximum", "", "3.3.4-9 3.3.4-10 4.9.0-1 4.9.0-2 4.9.0-3"},
	{"broker.TestTheirReceiveMaximum", "", "3.3.4-9 4.9.0-1 4.9.0-2"},
	{"broker.TestOverlap", "3.3.5-1", "3.3.4-2 3.3.4-3 3.3.4-4"},
	{"broker.TestQoSGranted", "3.3.4-1 3.8.4-6 4.3.1-1 4.3.2-1 4.3.2-2 4.3.3-1 4.3.3-2 4.5.0-1", "3.3.4-1 3.8.4-8 4.3.1-1 4.3.2-2 4.3.2-4 4.3.3-2 4.3.3-8 4.3.3-11 4.5.0-1"},
	{"broker.TestSubscriptionOptions", "3.3.1-9", "3.3.1-12 3.3.1-13 3.8.3-3 3.8.4-3"},
	{"broker.TestRetained", "3.1.2-7 3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-8 3.3.1-10 3.3.1-11 3.3.1-12 3.8.4-3", "3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-8 3.3.1-9 3.3.1-10 3.3.1-11 3.8.4-4"},
	{"broker.TestUnsubscribe", "2.3.1-7 3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5 3.10.4-6", "2.2.1-6 3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5 3.10.4-6 3.11.3-1"},
	{"broker.TestUnsubscribeInFlight", "3.10.4-3", "3.10.4-3"},
	{"broker.TestMaxSubscriptions", "2.3.1-7 3.8.4-1 3.8.4-2 3.8.4-4 3.8.4-5 3.9.3-1", "2.2.1-6 3.8.4-1 3.8.4-2 3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1"},
	{"broker.TestPubackOrder", "2.3.1-6 4.6.0-6", "2.2.1-5"},
	{"broker.TestExactlyOnceIn", "4.3.3-2", "4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12"},
	{"broker.TestExactlyOnceOut", "4.3.3-1", "4.3.3-3 4.3.3-4 4.3.3-5"},
	{"broker.TestStoreFull", "", "4.3.3-9"},
	{"broker.TestRefusedByReceiver", "", "4.4.0-2"},
	{"broker.TestOrderAcrossQoS", "4.6.0-5 4.6.0-6", "4.6.0-5 4.6.0-6"},
	{"broker.TestModel", "4.5.0-1 4.6.0-5 4.6.0-6", "4.5.0-1 4.6.0-5 4.6.0-6"},
	{"broker.TestSys", "4.7.2-1", "4.7.2-1"},
	{"broker.TestDupIsNotPassedOn", "3.3.1-3", "3.3.1-3"},
	{"broker.TestNoNormalising", "3.3.2-3 4.7.3-4", "3.3.2-3 4.7.3-4"},
	{"broker.TestShortClientIDs", "3.1.3-5", "3.1.3-5"},
	{"broker.TestNothingAfterRefusal", "3.1.4-5", "3.1.4-6"},
	{"broker.TestPing", "3.12.4-1", "3.12.4-1"},
	{"broker.TestEverythingIsServed", "", "3.2.2-9 3.2.2-10 3.2.2-12 3.2.2-13"},
	{"broker.TestAuthSaysNoMore", "", "3.15.2-2 3.15.2-3"},
	{"broker.TestMethodlessClient", "", "4.12.0-6"},
	{"broker.TestEnhancedAuthentication", "", "4.12.0-1 4.12.0-2 4.12.0-4 4.12.0-5 4.12.1-2"},
	{"broker.TestNoReasonStrings", "", "3.1.2-29 3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2 3.14.2-3 3.14.2-4"},
	{"broker.TestUnknownPacketIDsB16", "", "3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3"},
	{"broker.TestShareOptions", "", "4.8.2-3"},
	{"broker.TestShareExactlyOnce", "", "4.8.2-4 4.8.2-5"},
	{"broker.TestShareRefused", "", "4.8.2-6"},
	{"broker.TestSockets", "7.1.1-1", "4.2.0-1"},
	{"broker.TestMosquittoClients", "7.0.0-2", ""},
	{"broker.TestFrames", "6.0.0-1", "6.0.0-1"},
	{"broker.TestWebSocket", "6.0.0-2", "6.0.0-2"},
	{"broker.TestUpgrade", "6.0.0-4", "6.0.0-4"},
	{"broker.TestSessions", "3.1.2-4 3.1.2-6 3.2.2-2 3.2.2-3 4.1.0-2", "3.1.2-4 3.1.2-5 3.1.2-6 3.1.2-23 3.2.2-2 3.2.2-3 3.3.2-5 4.1.0-1 4.1.0-2"},
	{"broker.TestResponseInformation", "", "3.1.2-28"},
	{"broker.TestReasonStrings", "", "3.4.2-2 3.9.2-1 3.14.2-3"},
}

// unproved: statements that bind only a server that does something else, and why that
// is none of this package.
var unproved = map[string]string{
	"3.1.1 7.0.0-1": "it is the bridge that connects out, and has its own tests",
	"5.0 3.3.4-5":   "it is about a server that sends a copy for each subscription; one is sent here, with all identifiers (3.3.4-4)",
}

// TestStatements prints which test proves which statement (go test -v), and fails
// when a statement has none, or names a test that is not there.
func TestStatements(t *testing.T) {
	known := testsBelow(t, "..")
	proved := map[string][]string{}
	for _, p := range proofs {
		if !known[p.test] {
			t.Errorf("%s is named as a proof and does not exist", p.test)
		}
		for _, id := range strings.Fields(p.v311) {
			proved["3.1.1 "+id] = append(proved["3.1.1 "+id], p.test)
		}
		for _, id := range strings.Fields(p.v5) {
			proved["5.0 "+id] = append(proved["5.0 "+id], p.test)
		}
	}
	seen := map[string]bool{}
	for version, list := range map[string]string{"3.1.1 ": statements311, "5.0 ": statements5} {
		for _, id := range strings.Fields(list) {
			key := version + id
			seen[key] = true
			switch tests, why := proved[key], unproved[key]; {
			case len(tests) > 0 && why != "":
				t.Errorf("%s is proved and said not to be", key)
			case len(tests) > 0:
				t.Logf("%-13s %s", key, strings.Join(tests, ", "))
			case why != "":
				t.Logf("%-13s (%s)", key, why)
			default:
				t.Errorf("%s has no test", key)
			}
		}
	}
	for key := range proved {
		if !seen[key] {
			t.Errorf("%s is proved, but is no statement about a server", key)
		}
	}
}

// testsBelow finds the tests of the packages below a folder, as package.Name.
func testsBelow(t *testing.T, root string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				found[filepath.Base(filepath.Dir(path))+"."+f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil || !found["broker.TestStatements"] {
		t.Fatalf("look for the tests: %v", err)
	}
	return found
}
