package wire

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

func benchSend() *Request {
	return &Request{Id: 70000, Send: &Send{
		Conversation: conversation, Stream: stream, Number: 70000, Kind: Kind_KIND_TEXT, Text: strings.Repeat("chat", 50),
	}}
}

func benchPush() *ServerMessage {
	m := textMessage()
	m.Text = strings.Repeat("chat", 50)
	return &ServerMessage{Message: m}
}

func BenchmarkDecodeSend(b *testing.B) {
	for _, p := range []Subprotocol{Binary, JSON} {
		b.Run(p.String(), func(b *testing.B) {
			payload := bytes.Repeat(AppendRequest(nil, p, benchSend()), 16)
			var d RequestDecoder
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if _, err := d.Decode(p, payload); err != nil {
					b.Fatal(err)
				}
				n += 16
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/msg")
		})
	}
}

func BenchmarkEncodePush(b *testing.B) {
	for _, p := range []Subprotocol{Binary, JSON} {
		b.Run(p.String(), func(b *testing.B) {
			m := benchPush()
			out := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				out = AppendServerMessage(out[:0], p, m)
			}
		})
	}
}

func BenchmarkDecodePush(b *testing.B) {
	payload := bytes.Repeat(AppendServerMessage(nil, Binary, benchPush()), 16)
	var d ServerMessageDecoder
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, err := d.Decode(Binary, payload); err != nil {
			b.Fatal(err)
		}
		n += 16
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/msg")
}

func BenchmarkNext(b *testing.B) {
	for _, c := range []struct {
		name   string
		opcode Opcode
		size   int
	}{{"binary 200 B", OpBinary, 200}, {"text 200 B", OpText, 200}, {"binary 4 KiB", OpBinary, 4096}} {
		b.Run(c.name, func(b *testing.B) {
			in := frame(true, c.opcode, strings.Repeat("x", c.size))
			key := testKey
			r := Reassembler{Server: true}
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if _, n, err := r.Next(in); err != nil || n != len(in) {
					b.Fatal(n, err)
				}
				Mask(in[len(in)-c.size:], key) // as it was; half of the time is this
			}
		})
	}
}

func BenchmarkMask(b *testing.B) {
	for _, size := range []int{20, 200, 4096} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			p := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				Mask(p, testKey)
			}
		})
	}
}
