package crashtest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// copyFolder copies a folder with all that is in it.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// comeBack starts a server on the port of an earlier one. For a moment that may
// be taken, by one of the sockets that were there.
func comeBack(t *testing.T, l launch) *server {
	t.Helper()
	bin, err := ordinary()
	if err != nil {
		t.Fatal(err)
	}
	l.bin = bin
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		s, err := l.start()
		if err == nil {
			t.Cleanup(s.kill)
			return s
		}
		if s == nil || !strings.Contains(s.log.String(), "address already in use") || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func stop(t *testing.T, s *server) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

// The folder is put back from an older copy under devices that lived through
// it: they see a new incarnation, show nothing under a sequence that is another
// message's now, and offer what was lost of their own to be sent again.
func TestRestoredCopy(t *testing.T) {
	t.Parallel()
	dir, older := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "copy")
	s := mustStart(t, launch{dir: dir})
	w := &lossy{t: t, dir: dir, s: s}
	ann, bob := openDevice(t, s, dir, "ann", "phone"), openDevice(t, s, dir, "bob", "phone")
	v, err := ann.CreateDirect(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	w.direct = v.ID
	for n := 1; n <= 5; n++ {
		w.mustSend(ann, fmt.Sprint("kept ", n))
	}
	incarnation := w.both(ann, bob, 5)
	stop(t, s)
	copyFolder(t, dir, older)

	s = comeBack(t, launch{dir: dir, listen: s.listen})
	for n := 1; n <= 3; n++ {
		w.mustSend(ann, fmt.Sprint("lost ", n))
	}
	w.mustSend(bob, "lost of bob")
	if err := bob.MarkRead(w.direct, 0); err != nil {
		t.Fatal(err)
	}
	if w.both(ann, bob, 9) != incarnation {
		t.Error("a restart began a new incarnation")
	}

	ann.shut()
	bob.shut()
	stop(t, s)
	if err := errors.Join(os.RemoveAll(dir), os.Rename(older, dir)); err != nil {
		t.Fatal(err)
	}
	s = comeBack(t, launch{dir: dir, listen: s.listen})
	desk := openLine(t, s, dir, "bob", wire.Binary)
	if desk.conn.Welcome().Incarnation == uint64(incarnation) {
		t.Fatal("the copy bears the old incarnation")
	}
	if first := desk.send(w.direct, 1, "new 1"); first != 6 {
		t.Fatalf("the first message after the restore has sequence %d", first)
	}
	desk.send(w.direct, 2, "new 2")
	ann.open()
	bob.open()
	w.restored(ann, desk, "lost 1", "lost 2", "lost 3")
	w.restored(bob, desk, "lost of bob")

	want := append(desk.texts(w.direct), "8 ann: lost 1", "9 ann: lost 2", "10 ann: lost 3")
	for _, d := range ann.Drafts(w.direct) {
		if _, err := ann.Resend(d.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []*device{ann, bob} {
		var got []string
		for end := time.Now().Add(patience); !slices.Equal(got, want); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s shows\n%q\nand not\n%q; drafts %v", d.name, got, want, d.Drafts(w.direct))
			}
			got, _ = d.texts(w.direct)
		}
	}
}

func (w *lossy) mustSend(d *device, text string) {
	w.t.Helper()
	if err := w.send(d, w.direct, text); err != nil {
		w.t.Fatal(err)
	}
}

// both waits until two devices hold everything up to a sequence, and returns the
// incarnation.
func (w *lossy) both(a, b *device, last parley.Seq) parley.Incarnation {
	w.t.Helper()
	for _, d := range []*device{a, b} {
		eventually(w.t, patience, fmt.Sprintf("%s holds %d messages", d.name, last), func() bool {
			texts, whole := d.texts(w.direct)
			return whole && len(texts) == int(last)
		})
	}
	return w.conversation(a, w.direct).Incarnation
}

// restored holds a device to what there is now. Of what it shows on the way,
// nothing may stand under the sequence of another.
func (w *lossy) restored(d *device, desk *line, lost ...string) {
	w.t.Helper()
	want := desk.texts(w.direct)
	from := parley.Seq(0) // the lowest that it was told of: the head comes first, then what is compared
	d.await(w.t, "restored", func(e client.Event) bool {
		switch e := e.(type) {
		case client.Restored:
			if from == 0 || e.From < from {
				from = e.From
			}
		case client.Received:
			for i := range e.Messages {
				if text := show(&e.Messages[i]); from > 0 && !slices.Contains(want, text) {
					w.t.Errorf("%s shows %q after the restore", d.name, text)
				}
			}
		}
		texts, whole := d.texts(w.direct)
		return from == 6 && whole && slices.Equal(texts, want)
	})
	var offered []string
	for _, x := range d.Drafts(w.direct) {
		if x.Status != client.Failed || !errors.Is(x.Err(), client.ErrRestored) {
			w.t.Errorf("draft %q of %s is %v: %v", x.Body, d.name, x.Status, x.Err())
		}
		offered = append(offered, string(x.Body))
	}
	if !slices.Equal(offered, lost) {
		w.t.Errorf("%s offers %q to be sent again, want %q", d.name, offered, lost)
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := mustStart(t, launch{dir: dir})
	if said := refuses(t, launch{dir: dir}); !strings.Contains(said, "in use by another process") || !strings.Contains(said, dir) {
		t.Errorf("it says %q", said)
	}
	r, err := http.Get("http://" + s.listen + "/healthz")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("the first one: %v, %v", r, err)
	}
	_ = r.Body.Close()
	openLine(t, s, dir, "ann", wire.Binary)
}

// filled is a folder with n messages, one in each frame of the log, whose server
// was killed. Bodies are long, and known by their number.
func filled(t *testing.T, n int) (dir string, room parley.ConversationID) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := mustStart(t, launch{dir: dir})
	ann := openLine(t, s, dir, "ann", wire.Binary)
	openLine(t, s, dir, "bob", wire.Binary)
	room = ann.direct("bob")
	for i := 1; i <= n; i++ {
		ann.send(room, uint32(i), longText(i))
	}
	s.kill()
	return dir, room
}

func longText(i int) string { return fmt.Sprintf("message %d %s", i, strings.Repeat("z", 2000)) }

// logFile finds the log file that holds some bytes, and where.
func logFile(t *testing.T, dir, text string) (file string, content []byte, at int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(content, []byte(text)); at >= 0 {
			return file, content, at
		}
	}
	t.Fatalf("%q is in no log file", text)
	return "", nil, 0
}

// The log is put back from an older copy, and the rest of the folder is not:
// sequences would be given twice.
func TestOlderLogIsRefused(t *testing.T) {
	t.Parallel()
	dir, _ := filled(t, 3)
	older := filepath.Join(t.TempDir(), "wal")
	copyFolder(t, filepath.Join(dir, "wal"), older)
	s := mustStart(t, launch{dir: dir})
	ann := openLine(t, s, dir, "ann", wire.Binary)
	room := ann.direct("bob")
	for i := range uint32(50) {
		ann.send(room, i+1, "later")
	}
	stop(t, s) // what there is has been flushed: the cut is behind the older log
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "wal")), os.Rename(older, filepath.Join(dir, "wal"))); err != nil {
		t.Fatal(err)
	}
	if said := refuses(t, launch{dir: dir}); !strings.Contains(said, "the log ends before the cut") || !strings.Contains(said, "Restore the whole folder from one copy") {
		t.Errorf("it says %q", said)
	}
}

// One byte in the middle of the log is not what was written.
func TestDamagedLogIsRefused(t *testing.T) {
	t.Parallel()
	dir, _ := filled(t, 8)
	file, content, at := logFile(t, dir, longText(4))
	content[at+1000] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	said := refuses(t, launch{dir: dir})
	m := regexp.MustCompile(`at (\S*` + regexp.QuoteMeta(filepath.Base(file)) + `):(\d+): `).FindStringSubmatch(said)
	if m == nil || !strings.Contains(said, "restore it from a backup") {
		t.Fatalf("it says %q", said)
	}
	offset := 0
	if _, err := fmt.Sscan(m[2], &offset); err != nil || offset > at || at-offset > 200 {
		t.Errorf("it names offset %d; the record of the damaged byte begins shortly before %d", offset, at)
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, content) {
		t.Errorf("the damaged log was changed (%v)", err)
	}
}

// The last write was torn by a power cut: nobody was told of it, so it is
// dropped, and said.
func TestTornTailIsCut(t *testing.T) {
	t.Parallel()
	dir, room := filled(t, 8)
	file, content, at := logFile(t, dir, longText(8))
	clear(content[at+1000 : at+len(longText(8))+512])
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, launch{dir: dir})
	if said := s.log.String(); !strings.Contains(said, "torn write at the end of the log") || !strings.Contains(said, filepath.Base(file)) {
		t.Errorf("it says %q", said)
	}
	ann := openLine(t, s, dir, "ann", wire.Binary)
	texts := ann.texts(room)
	if len(texts) != 7 || !strings.HasPrefix(texts[6], "7 ann: message 7 ") {
		t.Errorf("there are %d messages", len(texts))
	}
	if seq := ann.send(room, 1, "after it"); seq != 8 {
		t.Errorf("the next message has sequence %d", seq)
	}
	s.kill()
	if said := mustStart(t, launch{dir: dir}).log.String(); strings.Contains(said, "torn") {
		t.Errorf("the next start says it again: %q", said)
	}
}
