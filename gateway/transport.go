package gateway

// transport is one connection, as its session sees it. None of its methods
// waits, and none is called by two goroutines at once.
//
// In the other direction the transport calls, one at a time and in order,
// session.received with what was read and session.ended once, last; and
// session.written, from any goroutine and also from inside write.
type transport interface {
	// write hands b over; b belongs to the caller again afterwards. What the
	// kernel has taken is told to session.written, now or later. A transport
	// that fails ends.
	write(b []byte)
	// shutdown says that nothing more will be written. The peer sees the end
	// of the stream.
	shutdown()
	// close ends the connection.
	close()
}
