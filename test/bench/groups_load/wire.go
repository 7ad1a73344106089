package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Longer than any answer may be held back: a JoinGroup waits for the others as long as the rebalance timeout.
const answerSecondsMax = 120

// connection is one to one broker, without any of what a client library does behind one's back: what is asked is what
// the broker is asked. A goroutine may send while another receives.
type connection struct {
	socket    net.Conn
	reader    *bufio.Reader
	out       []byte
	formatter *kmsg.RequestFormatter
	sent      int32
}

func dial(address string) (*connection, error) {
	socket, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &connection{socket: socket, reader: bufio.NewReader(socket),
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench"))}, nil
}

func mustDial(address string) *connection {
	link, err := dial(address)
	check(err)
	return link
}

func (link *connection) close() { _ = link.socket.Close() }

func (link *connection) send(request kmsg.Request) error {
	link.sent++
	link.out = link.formatter.AppendRequest(link.out[:0], request, link.sent)
	_, err := link.socket.Write(link.out)
	return err
}

// receive reads the answer to a request like this one, the oldest that is not answered yet.
func (link *connection) receive(request kmsg.Request) (kmsg.Response, error) {
	if err := link.socket.SetReadDeadline(time.Now().Add(answerSecondsMax * time.Second)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(link.reader, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(link.reader, body); err != nil {
		return nil, err
	}
	header := 4 // The correlation id; answers come in the order of the requests.
	if request.IsFlexible() && request.Key() != (&kmsg.ApiVersionsRequest{}).Key() {
		header++ // No tagged fields.
	}
	if len(body) < header {
		return nil, fmt.Errorf("an answer of %d bytes", len(body))
	}
	response := request.ResponseKind()
	response.SetVersion(request.GetVersion())
	return response, response.ReadFrom(body[header:])
}

func ask[Response kmsg.Response](link *connection, request kmsg.Request) (answer Response, err error) {
	if err = link.send(request); err != nil {
		return answer, err
	}
	response, err := link.receive(request)
	if err != nil {
		return answer, err
	}
	return response.(Response), nil
}

func mustAsk[Response kmsg.Response](link *connection, request kmsg.Request) Response {
	answer, err := ask[Response](link, request)
	check(err)
	return answer
}
