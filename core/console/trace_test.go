package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/weir-edge/weir/core"
)

// A trace streams what it is told, says what it lost, and ends with its reader.
func TestTrace(t *testing.T) {
	var tell func(core.Transaction)
	told := make(chan struct{})
	stopped := make(chan struct{}, maxTracers+1)
	var once sync.Once
	c := showing(example(), nil)
	c.cfg.Trace = func(adapter string, to func(core.Transaction)) (func(), error) {
		if adapter != "meters" {
			return nil, errors.New("there is no adapter " + adapter)
		}
		once.Do(func() { tell = to; close(told) })
		return func() { stopped <- struct{}{} }, nil
	}
	server := httptest.NewServer(c.Handler())
	defer server.Close()
	open := func(path string) (*http.Response, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp, func() { cancel(); resp.Body.Close() }
	}
	resp, leave := open("/api/v1/adapters/meters/trace")
	<-told
	tell(core.Transaction{Unit: 7, Meaning: "read holding:0, 1"})
	var got core.Transaction
	if err := json.NewDecoder(bufio.NewReader(resp.Body)).Decode(&got); err != nil || got.Unit != 7 || got.Meaning != "read holding:0, 1" {
		t.Errorf("got %+v, %v", got, err)
	}
	if none, end := open("/api/v1/adapters/x/trace"); none.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown adapter gives %s", none.Status)
	} else {
		end()
	}
	for range maxTracers - 1 {
		_, end := open("/api/v1/adapters/meters/trace")
		defer end()
	}
	if full, end := open("/api/v1/adapters/meters/trace"); full.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many gives %s", full.Status)
	} else {
		end()
	}
	leave()
	<-stopped
}
