package parley_test

import (
	"fmt"

	"github.com/parleychat/parley"
)

func Example() {
	ann, bob := parley.UserID{1}, parley.UserID{2}
	one := parley.DirectConversation(parley.DefaultTenant, ann, bob)
	two := parley.DirectConversation(parley.DefaultTenant, bob, ann)
	fmt.Println(one == two, parley.SeqRange{From: 3, To: 5}.Len(), parley.NotMember)
	// Output: true 3 not_member
}
