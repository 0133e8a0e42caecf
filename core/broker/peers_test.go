package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
)

// startTCP runs a broker on a loopback port for the length of the test.
func startTCP(t testing.TB) (b *broker.Broker, port string) {
	t.Helper()
	store := brokertest.NewStore()
	b, err := broker.New(broker.Config{
		Listeners: []broker.Listener{{Name: "lo", Address: "127.0.0.1:0", Anonymous: true}},
	}, store)
	if err != nil {
		t.Fatal(err)
	}
	store.Notify(b.Wake)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, _ = strings.Cut(b.Addr("lo").String(), ":")
	return b, port
}

func TestMosquittoClients(t *testing.T) {
	for _, tool := range []string{"mosquitto_pub", "mosquitto_sub"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing", tool)
		}
	}
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for qos := range 3 {
			t.Run(fmt.Sprintf("%s qos %d", version, qos), func(t *testing.T) {
				_, port := startTCP(t)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				q := fmt.Sprint(qos)
				pub := func(args ...string) {
					t.Helper()
					cmd := exec.CommandContext(ctx, "mosquitto_pub", append([]string{"-p", port, "-V", version, "-q", q}, args...)...)
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("mosquitto_pub: %v: %s", err, out)
					}
				}
				pub("-t", "t/1", "-m", "retained", "-r")
				sub := exec.CommandContext(ctx, "mosquitto_sub", "-p", port, "-V", version, "-q", q, "-t", "t/#", "-C", "4", "-v", "-i", "s", "-c")
				if version == "mqttv5" {
					sub.Args = append(sub.Args, "-x", "60")
				}
				stdout, err := sub.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := sub.Start(); err != nil {
					t.Fatal(err)
				}
				out := bufio.NewReader(stdout)
				first, _ := out.ReadString('\n') // it has subscribed
				pub("-t", "t/2", "-m", "a")
				pub("-t", "u/2", "-m", "not wanted")
				pub("-t", "t/3", "-m", "b")
				pub("-t", "t", "-m", strings.Repeat("x", 100_000))
				rest, _ := io.ReadAll(out)
				got := first + string(rest)
				if err := sub.Wait(); err != nil {
					t.Fatalf("mosquitto_sub: %v: %.300s", err, got)
				}
				want := "t/1 retained\nt/2 a\nt/3 b\nt " + strings.Repeat("x", 100_000) + "\n"
				if got != want {
					t.Errorf("got %.300q", got)
				}
			})
		}
	}
}
