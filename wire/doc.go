// Package wire is the protocol between a Parley server and its clients: the
// messages, their bytes and the codes that end a connection.
package wire
