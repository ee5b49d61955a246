// Package scenario plays the files of clients/scenarios against a real server,
// with a proxy between that cuts, delays, and splits into single bytes.
//
// A scenario says what people do on their devices, what happens to the network
// and the server meanwhile, and what every device must then show. The same files
// hold each SDK to the same behaviour:
//
//   - format.go reads them, strictly, by the table clients/scenarios/format.json.
//   - server.go runs bin/parley on a folder of its own; proxy.go is the network in
//     front of it, one proxy for each actor.
//   - stage.go is both, and control.go their interface over HTTP, so that a
//     runner in any language drives the same. Package main in the folder stage
//     serves it.
//   - play.go, actor.go, act.go and expect.go are the runner for package client.
//     clients/js/scenario is the one for the SDK in TypeScript.
//
// clients/scenarios/README.md describes the format.
package scenario
