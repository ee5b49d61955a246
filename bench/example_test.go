package bench_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/parleychat/parley/bench"
)

// A report is read by people and by programs.
func ExampleReport() {
	r := &bench.Report{
		Schema: 1, Command: "parley bench chat --rate 2000", Commit: "0000000", Machine: bench.Machine{Cores: 2, Kernel: "Linux", FileSystem: "ext4", MemoryMiB: 2048},
		Params:  map[string]any{"rate": 2000, "users": 1000},
		Metrics: map[string]float64{"msgs_per_s": 1999.6, "deliveries_per_s": 1999.7, "violations": 1},
		Violations: []string{
			"lost: conversation 7: user 3 got 4 of the 5 messages acknowledged to user 2",
		},
	}
	if err := r.WriteText(os.Stdout); err != nil {
		fmt.Println(err)
	}
	fmt.Println("failed:", r.Failed())
	// Output:
	// parley bench chat --rate 2000
	// commit 0000000
	// 2 cores (?), 2048 MiB, Linux, ext4; others took 0.0 % of the machine
	// rate 2000, users 1000
	//
	// messages      2000 acknowledged/s, 2000 delivered/s
	// VIOLATION     lost: conversation 7: user 3 got 4 of the 5 messages acknowledged to user 2
	// failed: true
}

// A run needs a server, so this one only says what it would need.
func ExampleChat() {
	_, err := bench.Chat(context.Background(), bench.ChatOptions{Users: 1000, Conversations: 100_000, InFlight: 32, Duration: 30 * time.Second})
	fmt.Println(err)
	// Output: bench: wrong options: no server
}
