// Package demo makes a small world for trying Parley out: people who have
// talked for years, and some who go on.
//
//	world, err := demo.Prepare(ctx, "demo-data", demo.Options{Seed: 1})
//	// … a server opens the folder …
//	err = demo.Live(ctx, world, demo.LiveOptions{URL: url, Token: token})
//
// Prepare fills an empty folder through chat.Service, as a server would, under a
// clock that walks from years ago to now: so what it leaves is what years of use
// would have left, and nothing else can be told of it. Live connects a handful of
// the people as ordinary devices. They read after a while, answer whoever writes
// to them, and write by themselves now and then.
//
// The same options give the same people, conversations, texts and order. Times
// follow the calendar back from Options.Until, so they are the same for every
// Until that has the same hour of the same weekday. Ids are the store's, and
// random as always.
//
// What people say is played from short scripts in the folder words: a talk is
// one or several of them, with the parts given to members, the gaps in the lines
// filled and one of several wordings chosen. plan.go makes the world without a
// store; fill.go puts it into one.
package demo
