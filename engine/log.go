package engine

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/parleychat/parley/wal"
)

// localLog orders commands by one wal for all partitions.
type localLog struct {
	*wal.Log
	next    []uint64 // the newest index of each partition
	headers []byte
	records []wal.Record
}

func openLocalLog(fs vfs.FS, dir string, opts Options) OpenLog {
	return func(from wal.LSN, sink Sink) (Log, error) {
		w, err := wal.Open(fs, dir, wal.Options{
			FileSize: opts.HeadSize, FilesMax: opts.HeadsMax + 2, From: from,
			Replay: sink.Replay, Commit: sink.Commit, Failed: sink.Failed,
			Retain: true, Buffered: opts.Buffered, Logger: opts.Logger,
		})
		if err != nil {
			return nil, err
		}
		return &localLog{Log: w, next: sink.Indexes()}, nil
	}
}

// Propose implements Log. The engine serialises it.
func (l *localLog) Propose(cmds []Command) error {
	l.records = l.records[:0]
	if need := len(cmds) * recordHeaderSize; cap(l.headers) < need {
		l.headers = make([]byte, need)
	}
	for i := range cmds {
		c := &cmds[i]
		l.next[c.Partition]++
		c.Term, c.Index = 0, l.next[c.Partition]
		h := l.headers[i*recordHeaderSize : (i+1)*recordHeaderSize : (i+1)*recordHeaderSize]
		putRecordHeader(h, c)
		l.records = append(l.records, wal.Record{Head: h, Body: c.Body})
	}
	_, err := l.Append(l.records)
	if err != nil {
		for i := range cmds {
			l.next[cmds[i].Partition]--
		}
	}
	clear(l.records) // bodies are the callers'
	return err
}
