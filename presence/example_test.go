package presence_test

import (
	"context"
	"fmt"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/presence"
)

func Example() {
	ann, bob, phone := parley.UserID{1}, parley.UserID{2}, parley.DeviceID{9}
	told := make(chan bool)
	registry := presence.NewMemory(presence.Options{
		Changed: func(_ parley.UserID, online bool) { told <- online },
	})
	defer registry.Close()

	registry.Connect(ann, phone)
	registry.Watch([]parley.UserID{bob})
	online := make([]bool, 2)
	if err := registry.Online(context.Background(), []parley.UserID{ann, bob}, online); err != nil {
		fmt.Println(err)
	}
	fmt.Println(online)

	registry.Connect(bob, phone)
	fmt.Println("bob came:", <-told)
	// Output:
	// [true false]
	// bob came: true
}
