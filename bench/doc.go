// Package bench puts load on a Parley server through real WebSockets and judges
// what comes back.
//
//	server, err := bench.StartServer(ctx, bench.ServerOptions{Executable: "parley", Data: dir})
//	report, err := bench.Chat(ctx, bench.ChatOptions{Server: server, Users: 1000, Conversations: 100000, InFlight: 32, Duration: 20 * time.Second})
//	report.WriteText(os.Stdout)
//
// Chat is the scenario of direct conversations: users send each other messages
// and acknowledge, as delivered and read, what they receive. The load is open (a
// rate that does not care how the server fares) or closed (so many sends in
// flight a user).
//
// Promises:
//
//   - A latency counts from the moment at which the schedule wanted the message
//     sent. A harness or a server that falls behind is charged for it.
//   - Every acknowledged message is followed to its recipient: there once, in
//     order, under the sequence that was acknowledged, and every conversation
//     without a gap. What is not so is a violation, and Report.Failed says it.
//   - A push that was lost is pulled, as a client would, and counted apart; only
//     a message that is nowhere is lost.
//   - What the server costs and what the harness costs are told apart, and so
//     is what everything else on the machine took.
//
// The harness shares the machine with what it measures, so it is built to be
// light: one goroutine a connection, one write for all that a read brought
// about, no allocation a message.
package bench
