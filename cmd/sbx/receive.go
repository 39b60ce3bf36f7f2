package main

import (
	"errors"
	"io"

	"sbx/api"
)

// receive waits for one packet. When the other end closes its socket with a
// packet of ours unread, a signal that came too late for instance, unix(7) reports
// ECONNRESET once, ahead of what the other end has sent before: the exit status
// may still be there.
func receive(conn *api.Conn) (*api.Packet, error) {
	p, err := conn.Recv()
	if errors.Is(err, io.EOF) {
		return conn.Recv()
	}
	return p, err
}
