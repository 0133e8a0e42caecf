package broker_test

import (
	"context"
	"fmt"
	"log"

	"github.com/weir-edge/weir/core"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
)

// A broker in ten lines. The store is one in memory; a gateway has one on disk.
func Example() {
	store := brokertest.NewStore()
	b, err := broker.New(broker.Config{
		Listeners: []broker.Listener{{Name: "local", Address: "127.0.0.1:0", Anonymous: true}},
	}, store)
	if err != nil {
		log.Fatal(err)
	}
	store.Notify(b.Wake)
	if err := b.Start(); err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	got := make(chan *core.Message)
	if _, err := b.Subscribe("plant/#", func(m *core.Message) { got <- m }); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(&core.Message{Topic: "plant/line1/temperature", Payload: []byte("21.5")}); err != nil {
		log.Fatal(err)
	}
	go func() {
		m := <-got
		fmt.Printf("%s = %s\n", m.Topic, m.Payload)
		stop()
	}()
	if err := b.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: plant/line1/temperature = 21.5
}
