package console

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/weir-edge/weir/core"
)

// snapshot asks the gateway for its state, and does not wait for ever.
func (c *Console) snapshot(ctx context.Context) (core.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	return c.cfg.Snapshot(ctx)
}

func (c *Console) serveHealth(w http.ResponseWriter, _ *http.Request) {
	plainText(w, http.StatusOK, "ok")
}

func (c *Console) serveReady(w http.ResponseWriter, r *http.Request) {
	switch st, err := c.snapshot(r.Context()); {
	case err != nil:
		plainText(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
	case !st.Ready:
		plainText(w, http.StatusServiceUnavailable, "not ready: "+cmp.Or(st.Buffer.Error, "starting or stopping"))
	default:
		plainText(w, http.StatusOK, "ready")
	}
}

func (c *Console) serveStatus(w http.ResponseWriter, r *http.Request) {
	st, err := c.snapshot(r.Context())
	if err != nil {
		failed(w, err)
		return
	}
	body, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		failed(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n')) // an error is the peer's own
}

// eventClients is how many clients an event names; /api/v1/status names all.
const eventClients = 100

// event is the state as the page wants it every second: of many clients only
// those that are owed most.
func (c *Console) event(ctx context.Context) ([]byte, error) {
	st, err := c.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if len(st.Clients) > eventClients {
		slices.SortFunc(st.Clients, func(a, b core.ClientStatus) int {
			return cmp.Or(cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.ClientID, b.ClientID))
		})
		st.Clients = st.Clients[:eventClients]
	}
	return json.Marshal(st)
}

func plainText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	io.WriteString(w, text+"\n") // an error is the peer's own
}

// failed tells a program that the gateway did not answer.
func failed(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintf(w, "{\"error\":%q}\n", err.Error())
}
