package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// bufferLine is one line of an answer under /api/v1/buffer/: progress, a message,
// or the last one with the result or an error.
type bufferLine struct {
	Done    uint64          `json:"done,omitempty"`
	Total   uint64          `json:"total,omitempty"`
	Message *kept           `json:"message,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Usage   bool            `json:"usage,omitempty"` // the error is the caller's
	Unread  []uint64        `json:"unread,omitempty"`
	End     bool            `json:"end,omitempty"`
}

// The results of the verbs.
type (
	keptResult    struct{ Kept int }
	droppedResult struct{ Dropped, Owed uint64 }
	replayResult  struct{ Owed, Strangers int }
)

// bufferAPI serves a store to the command line: POST /api/v1/buffer/VERB. The
// console lets only those through who are on this machine.
type bufferAPI struct{ store bufferStore }

func (a bufferAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	verbs := map[string]func(context.Context, *http.Request, *lineWriter) (any, error){
		"/api/v1/buffer/messages": a.messages,
		"/api/v1/buffer/import":   a.keep,
		"/api/v1/buffer/drop":     a.drop,
		"/api/v1/buffer/verify":   a.verify,
		"/api/v1/buffer/replay":   a.replay,
		"/api/v1/buffer/remove":   a.remove,
	}
	verb := verbs[r.URL.Path]
	if verb == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := newLineWriter(w)
	out.control.EnableFullDuplex() // an import is answered while it is read; not every writer can
	result, err := verb(r.Context(), r, out)
	last := bufferLine{End: true}
	if last.Result, _ = json.Marshal(result); err != nil {
		last.Error, last.Usage = err.Error(), errors.As(err, &usageError{})
	}
	if left, ok := errors.AsType[*unreadError](err); ok {
		last.Unread = left.Segments
	}
	_ = out.line(last) // an error is the peer's own
}

func (a bufferAPI) messages(ctx context.Context, r *http.Request, out *lineWriter) (any, error) {
	most, _ := strconv.Atoi(r.FormValue("most")) // 0: all
	return nil, a.store.messages(ctx, r.FormValue("name"), most, func(k kept, total uint64) error {
		return out.line(bufferLine{Total: total, Message: &k})
	})
}

func (a bufferAPI) keep(ctx context.Context, r *http.Request, out *lineWriter) (any, error) {
	n, err := a.store.keep(ctx, r.URL.Query().Get("name"), patientReader{r.Body, out.control})
	return keptResult{n}, err
}

func (a bufferAPI) drop(ctx context.Context, r *http.Request, out *lineWriter) (any, error) {
	var before time.Time
	if s := r.FormValue("before"); s != "" {
		var err error
		if before, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, usageError{err}
		}
	}
	given, owed, err := a.store.drop(ctx, r.FormValue("name"), before, out.progress)
	return droppedResult{given, owed}, err
}

func (a bufferAPI) verify(ctx context.Context, _ *http.Request, out *lineWriter) (any, error) {
	// The loop tells how far it is, and must not wait for the peer.
	latest := make(chan [2]uint64, 1)
	painted := make(chan struct{})
	go func() {
		defer close(painted)
		for p := range latest {
			out.progress(p[0], p[1])
		}
	}()
	v, err := a.store.verify(ctx, func(done, total uint64) {
		select {
		case latest <- [2]uint64{done, total}:
		default:
		}
	})
	if ctx.Err() == nil { // else the check may still be telling
		close(latest)
		<-painted
	}
	return v, err
}

func (a bufferAPI) replay(ctx context.Context, r *http.Request, out *lineWriter) (any, error) {
	owed, strangers, err := a.store.replay(ctx, r.FormValue("name"), out.progress)
	return replayResult{owed, strangers}, err
}

func (a bufferAPI) remove(ctx context.Context, r *http.Request, _ *lineWriter) (any, error) {
	return nil, a.store.remove(ctx, r.FormValue("name"))
}

// bufferPatience is how long a peer may take for a line.
const bufferPatience = 10 * time.Second

// lineWriter writes JSON documents, one a line. A peer that stays away ends it.
type lineWriter struct {
	control *http.ResponseController
	enc     *json.Encoder
	painted time.Time
}

func newLineWriter(w http.ResponseWriter) *lineWriter {
	return &lineWriter{control: http.NewResponseController(w), enc: json.NewEncoder(w)}
}

func (l *lineWriter) line(v bufferLine) error {
	_ = l.control.SetWriteDeadline(time.Now().Add(bufferPatience)) // not all writers have one
	if err := l.enc.Encode(v); err != nil {
		return err
	}
	if v.Message != nil && time.Since(l.painted) < paintEvery {
		return nil // the buffer flushes itself
	}
	l.painted = time.Now()
	return l.control.Flush()
}

// paintEvery is how often progress is told.
const paintEvery = 100 * time.Millisecond

func (l *lineWriter) progress(done, total uint64) {
	if time.Since(l.painted) < paintEvery {
		return
	}
	_ = l.line(bufferLine{Done: done, Total: total}) // the peer's loss; the request's end says so
}

// patientReader lets a long body come at its pace.
type patientReader struct {
	io.Reader
	control *http.ResponseController
}

func (r patientReader) Read(b []byte) (int, error) {
	_ = r.control.SetReadDeadline(time.Now().Add(bufferPatience)) // not all readers have one
	return r.Reader.Read(b)
}
