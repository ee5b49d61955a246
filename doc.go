// Package parley holds the words that every other package of Parley speaks:
// identifiers, messages, conversations, receipts and the errors that cross a
// wire. It holds values only. Nothing in it locks, starts a goroutine or
// touches a disk, and it imports nothing but the standard library.
//
// Parley is a chat server in which a conversation is a log and the server a
// deterministic machine over an ordered log of commands: a command is durable
// first, then applied, then acknowledged, then delivered. Package wal makes
// commands durable, package engine applies them, package chat holds the rules.
package parley
