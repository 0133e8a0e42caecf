package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// Bridges adds, changes and removes bridges at work.
type Bridges interface {
	// PutBridge adds the bridge that the document describes, or puts it in the place
	// of the one of its name, and says what it did.
	PutBridge(ctx context.Context, document []byte) (string, error)
	// RemoveBridge ends one. An error that is ErrUnknown: there is none of that name.
	RemoveBridge(ctx context.Context, name string) (string, error)
}

// ErrInvalid is an error of whoever has asked: all that is wrong with a document.
var ErrInvalid = errors.New("not valid")

// servePutBridge takes POST /api/v1/bridges.
func (c *Console) servePutBridge(w http.ResponseWriter, r *http.Request) {
	document, err := io.ReadAll(r.Body)
	if err != nil {
		failed(w, err)
		return
	}
	text, err := c.cfg.Bridges.PutBridge(r.Context(), document)
	c.note("bridge put", "what", text, "address", r.RemoteAddr, "done", err == nil)
	c.answer(w, text, err)
}

// serveRemoveBridge takes DELETE /api/v1/bridges/{bridge}.
func (c *Console) serveRemoveBridge(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("bridge")
	if !plainName(name) {
		http.Error(w, "that is no name", http.StatusBadRequest)
		return
	}
	text, err := c.cfg.Bridges.RemoveBridge(r.Context(), name)
	c.note("bridge remove", "bridge", name, "address", r.RemoteAddr, "done", err == nil)
	c.answer(w, text, err)
}

// answer tells what came of a command.
func (c *Console) answer(w http.ResponseWriter, text string, err error) {
	code, answer := http.StatusOK, map[string]string{}
	switch {
	case err == nil:
		answer["result"] = text
	case errors.Is(err, ErrUnknown):
		code = http.StatusNotFound
	case errors.Is(err, ErrInvalid):
		code = http.StatusUnprocessableEntity
	default:
		code = http.StatusConflict
	}
	if err != nil {
		answer["error"] = err.Error()
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
