package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// ErrUnknown is a command's answer when there is nothing of that name.
var ErrUnknown = errors.New("not known")

// Command carries out verb on the bridge of that name, or on its rule if one is named,
// and says what it did.
type Command func(ctx context.Context, bridge, rule, verb string) (string, error)

// serveCommand takes POST /api/v1/bridges/{bridge}/{verb}?rule=FILTER. Pages of other sites
// cannot send one: see Handler.
func (c *Console) serveCommand(w http.ResponseWriter, r *http.Request) {
	code, answer := http.StatusNotFound, map[string]string{"error": "this gateway takes no commands"}
	if c.cfg.Command != nil {
		code, answer = http.StatusOK, map[string]string{}
		text, err := c.cfg.Command(r.Context(), r.PathValue("bridge"), r.URL.Query().Get("rule"), r.PathValue("verb"))
		switch {
		case errors.Is(err, ErrUnknown):
			code, answer["error"] = http.StatusNotFound, err.Error()
		case err != nil:
			code, answer["error"] = http.StatusConflict, err.Error()
		default:
			answer["result"] = text
		}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		failed(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(append(body, '\n')) // an error is the peer's own
}
