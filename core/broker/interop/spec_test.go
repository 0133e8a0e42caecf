package interop

import (
	"testing"
	"time"

	"github.com/256dpi/gomqtt/spec"
)

// TestSpec: gomqtt's specification of a 3.1.1 broker. Users have their own tests.
func TestSpec(t *testing.T) {
	g := startGateway(t, "")
	c := spec.AllFeatures()
	c.Authentication = false
	c.URL = "tcp://" + g.address
	// It cannot see what a broker has done by then; where nothing may come, little is enough.
	c.ProcessWait, c.NoMessageWait, c.MessageRetainWait = 200*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
	spec.Run(t, c)
}
