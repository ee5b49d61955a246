// Package client is the Go SDK of Parley.
//
// Conn is one connection: it carries requests and server messages, and nothing
// else. It is for tools that measure or probe.
package client
