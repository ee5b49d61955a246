package chat

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// The bounds of an account.
const (
	devicesMax      = 16 // beside the nameless one; the one seen longest ago makes room
	revokedMax      = 32 // the one revoked longest ago makes room
	epochsMax       = 64 // of which the last beat is kept
	nameMax         = 100
	pictureMax      = 512
	deviceNameMax   = 64
	platformNameMax = 32
)

// account is the row of what a user shows of himself, and of his devices. It is
// made when one of them is there, so a user of before has none.
//
//	version (1) privacy (1) name (text) picture: length (2) and bytes
//	devices: count (1), each
//	  device (16) name (text) platform (text) created (8) at (8) epoch (8)
//	  token (16) token expires (8)
//	revoked: count (1), each
//	  device (16) token (16) token expires (8)
//	gone (8)
//
// Times are microseconds since 1970. Devices stand in the order in which they
// came first, revoked ones in that in which they were.
type account struct {
	privacy parley.Privacy
	name    string
	picture string
	devices []accountDevice
	revoked []revoked
	gone    int64 // when a device that is forgotten was there last, 0 if none is
}

// accountDevice is one that has connected. The nameless one, of which the id is zero,
// stands for all that name none.
type accountDevice struct {
	id       parley.DeviceID
	name     string
	platform string
	created  int64
	at       int64  // seen last; while it is online, connected
	epoch    uint64 // the server process at which it is online; 0: it is not
	token    [16]byte
	expires  int64 // of the token
}

// revoked is a device that was shut out, with the token that it used.
type revoked struct {
	id      parley.DeviceID
	token   [16]byte
	expires int64
}

func accountKey(u parley.UserID) engine.Key { return engine.Key{Table: tableAccount, A: u} }

// AppendTo implements engine.Row.
func (a *account) AppendTo(b []byte) []byte {
	b = append(b, rowVersion, byte(a.privacy))
	b = appendText(b, a.name)
	b = appendU16(b, uint16(len(a.picture)))
	b = append(b, a.picture...)
	b = append(b, byte(len(a.devices)))
	for i := range a.devices {
		d := &a.devices[i]
		b = appendText(appendText(append(b, d.id[:]...), d.name), d.platform)
		b = appendU64(b, uint64(d.created))
		b = appendU64(b, uint64(d.at))
		b = appendU64(b, d.epoch)
		b = appendU64(append(b, d.token[:]...), uint64(d.expires))
	}
	b = append(b, byte(len(a.revoked)))
	for i := range a.revoked {
		r := &a.revoked[i]
		b = append(append(b, r.id[:]...), r.token[:]...)
		b = appendU64(b, uint64(r.expires))
	}
	return appendU64(b, uint64(a.gone))
}

func decodeAccount(b []byte) (engine.Row, error) {
	d := decoder{b: b}
	v := d.u8()
	a := &account{privacy: parley.Privacy(d.u8()), name: d.text(), picture: d.longText()}
	for range d.u8() {
		a.devices = append(a.devices, accountDevice{
			id: d.device(), name: d.text(), platform: d.text(), created: int64(d.u64()), at: int64(d.u64()),
			epoch: d.u64(), token: d.digest(), expires: int64(d.u64()),
		})
	}
	for range d.u8() {
		a.revoked = append(a.revoked, revoked{d.device(), d.digest(), int64(d.u64())})
	}
	a.gone = int64(d.u64())
	if v != rowVersion || !d.whole() || a.privacy > parley.Nobody {
		return nil, fmt.Errorf("%w: account row of %d bytes, version %d", engine.ErrCorrupt, len(b), v)
	}
	return a, nil
}

// find is the place of a device, -1 if it is not known.
func (a *account) find(id parley.DeviceID) int {
	return slices.IndexFunc(a.devices, func(d accountDevice) bool { return d.id == id })
}

// barred reports whether a device, or whoever comes with its token, was shut
// out. The nameless device is never shut out by its id, for it is no one.
func (a *account) barred(id parley.DeviceID, token [16]byte, now int64) bool {
	for i := range a.revoked {
		r := &a.revoked[i]
		if r.id == id && !id.IsZero() || r.token == token && token != [16]byte{} && now < r.expires {
			return true
		}
	}
	return false
}

// makeRoom forgets the named device that was seen longest ago, where one more
// would be too many. One that is online in this epoch is seen now, however long
// ago it came.
func (a *account) makeRoom(epoch uint64) {
	oldest, named := -1, 0
	for i := range a.devices {
		d := &a.devices[i]
		if d.id.IsZero() {
			continue
		}
		named++
		if oldest < 0 || d.before(&a.devices[oldest], epoch) {
			oldest = i
		}
	}
	if named >= devicesMax {
		a.forget(oldest)
	}
}

// before reports whether a device was there last before another.
func (d *accountDevice) before(o *accountDevice, epoch uint64) bool {
	if here, there := d.epoch == epoch, o.epoch == epoch; here != there {
		return there
	}
	return d.at < o.at
}

// forget takes a device away, but not that its user was there.
func (a *account) forget(i int) accountDevice {
	d := a.devices[i]
	a.gone = max(a.gone, d.at)
	a.devices = slices.Delete(a.devices, i, i+1)
	return d
}

// changeAccount finds a user's account to change it, or makes one.
func changeAccount(tx *engine.Tx, u parley.UserID) *account {
	if slot := tx.Find(accountKey(u)); slot != nil {
		return tx.Change(slot).(*account)
	}
	a := &account{}
	tx.Insert(accountKey(u), a)
	return a
}

// accountOf is a user's account as a reader sees it, nil where there is none.
func accountOf(v *engine.View, u parley.UserID) *account {
	if slot := v.Find(accountKey(u)); slot != nil {
		return slot.Row().(*account)
	}
	return nil
}

// known reports whether a user stands in the partition of a command.
func known(tx *engine.Tx, c *engine.Command, u parley.UserID) bool {
	slot := tx.Find(userKey(u))
	return slot != nil && slot.Row().(*user).tenant == c.Tenant
}

// connect notes that a device has come.
func (m *Machine) connect(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	u, id, name, platform := d.user(), d.device(), d.text(), d.text()
	token, expires, epoch := d.digest(), int64(d.u64()), d.u64()
	if !d.whole() || epoch == 0 || len(name) > deviceNameMax || len(platform) > platformNameMax || !known(tx, c, u) {
		return refuse(parley.BadRequest)
	}
	if slot := tx.Find(accountKey(u)); slot != nil && slot.Row().(*account).barred(id, token, tx.Time()) {
		return refuse(parley.Revoked)
	}
	a := changeAccount(tx, u)
	i := a.find(id)
	if i < 0 {
		if !id.IsZero() {
			a.makeRoom(epoch)
		}
		i = len(a.devices)
		a.devices = append(a.devices, accountDevice{id: id, created: tx.Time()})
	}
	k := &a.devices[i]
	k.name, k.platform, k.at, k.epoch, k.token, k.expires = name, platform, tx.Time(), epoch, token, expires
	return engine.Result{}
}

// seen notes when a device that has gone was there last. What is older than its
// newest connection is no news. Of one that was forgotten or shut out meanwhile,
// and of one that came while nothing could be written, it says when the user was.
func (m *Machine) seen(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	u, id, at := d.user(), d.device(), int64(d.u64())
	if !d.whole() || at < 0 {
		return refuse(parley.BadRequest)
	}
	at = min(at, tx.Time()) // nobody was seen later than now
	slot := tx.Find(accountKey(u))
	if slot == nil || !known(tx, c, u) {
		return refuse(parley.BadRequest)
	}
	a := slot.Row().(*account)
	i := a.find(id)
	switch {
	case i < 0 && at > a.gone:
		tx.Change(slot).(*account).gone = at
	case i < 0 || at < a.devices[i].at:
		return engine.Result{Repeat: true}
	default:
		d := &tx.Change(slot).(*account).devices[i]
		d.at, d.epoch = at, 0
	}
	return engine.Result{}
}

// revoke shuts a device out, with the token that it used.
func (m *Machine) revoke(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	u, id := d.user(), d.device()
	if !d.whole() {
		return refuse(parley.BadRequest)
	}
	slot := tx.Find(accountKey(u))
	if slot == nil || !known(tx, c, u) {
		return refuse(parley.BadRequest)
	}
	a := slot.Row().(*account)
	i := a.find(id)
	if i < 0 {
		if a.barred(id, [16]byte{}, tx.Time()) {
			return engine.Result{Repeat: true}
		}
		return refuse(parley.BadRequest)
	}
	a = tx.Change(slot).(*account)
	gone := a.forget(i)
	if len(a.revoked) == revokedMax {
		a.revoked = slices.Delete(a.revoked, 0, 1)
	}
	a.revoked = append(a.revoked, revoked{gone.id, gone.token, gone.expires})
	return engine.Result{}
}

// What a profile's command changes.
const (
	changeName uint8 = 1 << iota
	changePicture
	changePrivacy
)

// profile changes what a user shows of himself.
func (m *Machine) profile(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	u, what, privacy, name, picture := d.user(), d.u8(), parley.Privacy(d.u8()), d.text(), d.longText()
	if !d.whole() || len(name) > nameMax || len(picture) > pictureMax || privacy > parley.Nobody ||
		what&^(changeName|changePicture|changePrivacy) != 0 || !known(tx, c, u) {
		return refuse(parley.BadRequest)
	}
	a := changeAccount(tx, u)
	if what&changeName != 0 {
		a.name = name
	}
	if what&changePicture != 0 {
		a.picture = picture
	}
	if what&changePrivacy != 0 {
		a.privacy = privacy
	}
	return engine.Result{}
}

// beats is the row of the last signs of life of server processes, of which there
// is one in a store. What a process had online when it was killed was there at
// its last.
//
//	version (1) epochs: count (1), each epoch (8) at (8)
//
// Epochs rise: each is the time at which its process began.
type beats struct{ epochs []beat }

type beat struct {
	epoch uint64
	at    int64
}

var beatsKey = engine.Key{Table: tableBeats}

// AppendTo implements engine.Row.
func (r *beats) AppendTo(b []byte) []byte {
	b = append(b, rowVersion, byte(len(r.epochs)))
	for _, e := range r.epochs {
		b = appendU64(appendU64(b, e.epoch), uint64(e.at))
	}
	return b
}

func decodeBeats(b []byte) (engine.Row, error) {
	d := decoder{b: b}
	v, r := d.u8(), &beats{}
	for range d.u8() {
		r.epochs = append(r.epochs, beat{d.u64(), int64(d.u64())})
	}
	rise := slices.IsSortedFunc(r.epochs, func(a, b beat) int { return cmp.Compare(a.epoch, b.epoch) })
	if v != rowVersion || !d.whole() || len(r.epochs) == 0 || !rise {
		return nil, fmt.Errorf("%w: beats row of %d bytes, version %d", engine.ErrCorrupt, len(b), v)
	}
	return r, nil
}

// beat notes a sign of life of a server process.
func (m *Machine) beat(tx *engine.Tx, d *decoder) engine.Result {
	epoch, at := d.u64(), int64(d.u64())
	if !d.whole() || epoch == 0 || at < 0 || !tx.Owns(parley.DefaultTenant, beatsKey.A) {
		return refuse(parley.BadRequest)
	}
	at = min(at, tx.Time())
	slot := tx.Find(beatsKey)
	if slot == nil {
		tx.Insert(beatsKey, &beats{epochs: []beat{{epoch, at}}})
		return engine.Result{}
	}
	r := slot.Row().(*beats)
	switch last := r.epochs[len(r.epochs)-1]; {
	case last.epoch > epoch, last.epoch == epoch && last.at >= at:
		return engine.Result{Repeat: true}
	case last.epoch == epoch:
		r = tx.Change(slot).(*beats)
		r.epochs[len(r.epochs)-1].at = at
		return engine.Result{}
	}
	r = tx.Change(slot).(*beats)
	if len(r.epochs) == epochsMax {
		r.epochs = slices.Delete(r.epochs, 0, 1)
	}
	r.epochs = append(r.epochs, beat{epoch, at})
	return engine.Result{}
}

// of is the last sign of life of a process, 0 where it is not known.
func (r *beats) of(epoch uint64) int64 {
	i, ok := slices.BinarySearchFunc(r.epochs, epoch, func(e beat, epoch uint64) int { return cmp.Compare(e.epoch, epoch) })
	if !ok {
		return 0
	}
	return r.epochs[i].at
}
