package auth_test

import (
	"context"
	"fmt"
	"log"

	"github.com/weir-edge/weir/core/auth"
	"github.com/weir-edge/weir/core/broker"
	"github.com/weir-edge/weir/core/broker/brokertest"
)

// A broker with users, as a library.
func Example() {
	credential, err := auth.Credential([]byte("secret"), 0)
	if err != nil {
		log.Fatal(err)
	}
	users, err := auth.ParseUsers("users.txt", []byte("alice:"+credential+"\n"))
	if err != nil {
		log.Fatal(err)
	}
	who := auth.New(auth.Config{Rules: auth.Rules{Users: users}})
	b, err := broker.New(broker.Config{Auth: who}, brokertest.NewStore())
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go who.Run(ctx)
	go b.Run(ctx)
	fmt.Println(who.Status().Users, "user")
	// Output: 1 user
}
