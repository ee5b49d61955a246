package engine

// pending is the batches that were proposed and are not applied yet, oldest
// first. It uses its memory again.
type pending struct {
	batches []*Batch
	first   int // those before it were taken
}

func (p *pending) len() int { return len(p.batches) - p.first }

func (p *pending) add(b *Batch) {
	if p.first > 0 && len(p.batches) == cap(p.batches) && p.first >= len(p.batches)/2 {
		n := copy(p.batches, p.batches[p.first:])
		clear(p.batches[n:])
		p.batches, p.first = p.batches[:n], 0
	}
	p.batches = append(p.batches, b)
}

// take removes the oldest.
func (p *pending) take() *Batch {
	b := p.batches[p.first]
	p.batches[p.first] = nil
	p.first++
	if p.first == len(p.batches) {
		p.batches, p.first = p.batches[:0], 0
	}
	return b
}

func (p *pending) newest() *Batch { return p.batches[len(p.batches)-1] }

func (p *pending) dropNewest() {
	p.batches[len(p.batches)-1] = nil
	p.batches = p.batches[:len(p.batches)-1]
}

// takeAll empties it.
func (p *pending) takeAll() []*Batch {
	all := p.batches[p.first:]
	*p = pending{}
	return all
}
