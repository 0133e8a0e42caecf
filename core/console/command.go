package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrUnknown is a command's answer when there is nothing of that name.
var ErrUnknown = errors.New("not known")

// Command carries out verb on the bridge of that name, or on its rule if one is named,
// and says what it did.
type Command func(ctx context.Context, bridge, rule, verb string) (string, error)

// noToken is said where everybody in the network could act.
const noToken = "the console has no token: it acts for this machine only, over the loopback or a unix socket"

// mayAct says whether the console may change something: where others than this
// machine reach it, for those only who have shown the token.
func (c *Console) mayAct() bool { return c.local || c.logins.on }

// plainName says whether something from a path can be the name of anything.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == '\\' || r == utf8.RuneError || unicode.IsControl(r)
	})
}

// serveCommand takes POST /api/v1/bridges/{bridge}/{verb}?rule=FILTER. Pages of other sites
// cannot send one: see Handler.
func (c *Console) serveCommand(w http.ResponseWriter, r *http.Request) {
	bridge, verb := r.PathValue("bridge"), r.PathValue("verb")
	if !plainName(bridge) || !plainName(verb) {
		http.Error(w, "that is no name", http.StatusBadRequest)
		return
	}
	if !c.mayAct() {
		http.Error(w, noToken, http.StatusForbidden)
		return
	}
	if c.cfg.Command == nil {
		c.answer(w, "", fmt.Errorf("%w: this gateway takes no commands", ErrUnknown))
		return
	}
	rule := r.URL.Query().Get("rule")
	text, err := c.cfg.Command(r.Context(), bridge, rule, verb)
	c.note("bridge "+verb, "bridge", bridge, "rule", rule, "address", r.RemoteAddr, "done", err == nil)
	c.answer(w, text, err)
}
