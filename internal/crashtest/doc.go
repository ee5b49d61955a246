// Package crashtest breaks a real server from the outside, and holds what is left
// to everything that its clients were told. Its promises are those of the whole
// product, so it drives the binary, as users have it, over real sockets.
//
//   - kill_test.go: SIGKILL under load, anywhere between a write and its flush.
//   - fault_test.go: writes and syncs that fail, with every system call watched.
//   - push_test.go: every push is lost, and all devices come to show the same.
//   - order_test.go: refusals in the middle of a pipeline.
//   - folder_test.go: folders that were copied, mixed, torn or damaged.
//   - hostile_test.go: clients that do what none should.
//
// How the first two judge: users send to each other through pipelines, and after
// each restart they send again what was not answered, and a part of what was
// (user_test.go). Once the server is gone, package verify reads its folder
// alone, and the judge looks for each thing that a user was told or shown
// (judge_test.go). The next server must say of every conversation what the
// folder was judged to hold.
//
// Settings by environment: PARLEY_KILLS, PARLEY_SEED, PARLEY_FAULTS,
// PARLEY_FAULT_STEP; PARLEY_TAGS adds build tags to the server.
package crashtest
