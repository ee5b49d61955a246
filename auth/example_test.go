package auth_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/auth"
)

func Example() {
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	keys, err := auth.LoadKeys("testdata/keys.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := auth.Sign(keys[0], auth.Claims{Subject: "ann", Expires: now().Add(time.Hour)})
	if err != nil {
		fmt.Println(err)
		return
	}

	v, err := auth.Open("testdata/keys.json", auth.Options{Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := v.Verify(token)
	fmt.Println(claims.Subject, claims.Tenant, err)
	_, err = v.Verify(token + "A")
	fmt.Println(errors.Is(err, parley.BadToken))
	// Output:
	// ann 0 <nil>
	// true
}
