package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// Hash is SHA-256 over the whole state: of every partition its index and time
// and, in the order of their keys, the rows with their last sequences. Two
// engines that applied the same commands have the same, whatever their options
// and whenever they flushed. It must not run beside Append.
func (e *Engine) Hash() [sha256.Size]byte {
	sum := sha256.New()
	var b []byte
	for _, p := range e.partitions {
		p.mu.RLock()
		b = binary.LittleEndian.AppendUint64(b[:0], p.index)
		b = binary.LittleEndian.AppendUint64(b, uint64(p.time))
		sum.Write(b)
		for _, k := range p.sortedKeys() {
			s := p.rows.find(k)
			b = append(b[:0], k.Table)
			b = append(append(b, k.A[:]...), k.B[:]...)
			b = binary.LittleEndian.AppendUint64(b, uint64(s.last))
			b = s.row.AppendTo(b)
			sum.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
			sum.Write(b)
		}
		p.mu.RUnlock()
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

func (p *partition) sortedKeys() []Key {
	keys := make([]Key, 0, p.rows.len())
	for s := range p.rows.all() {
		if s.row != nil {
			keys = append(keys, s.key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if a.Table != b.Table {
			return int(a.Table) - int(b.Table)
		}
		if c := strings.Compare(string(a.A[:]), string(b.A[:])); c != 0 {
			return c
		}
		return strings.Compare(string(a.B[:]), string(b.B[:]))
	})
	return keys
}
