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
	c.ProcessWait, c.NoMessageWait, c.MessageRetainWait = 20*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	spec.Run(t, c)
}
