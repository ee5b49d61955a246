package client

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// The file is a bbolt database with these buckets. Sequences and draft ids are
// 8 bytes, big-endian, so that they sort.
//
//	bucket         key                        value
//	meta           "format"                   "1"
//	               "meta"                     Meta, as JSON
//	conversations  conversation (16)          Conversation, as JSON
//	lanes          conversation (16)          Lane, as JSON
//	drafts         id (8)                     Draft, as JSON
//	messages       conversation (16) seq (8)  parley.v1.Message, as Protobuf, without its conversation
//
// One Apply is one transaction: it is synced before it returns, and a crash
// leaves all of it or none.
const storeFormat = "1"

var (
	bucketMeta          = []byte("meta")
	bucketConversations = []byte("conversations")
	bucketLanes         = []byte("lanes")
	bucketDrafts        = []byte("drafts")
	bucketMessages      = []byte("messages")

	keyFormat = []byte("format")
	keyMeta   = []byte("meta")
)

// FileStore keeps everything in one file.
type FileStore struct{ db *bolt.DB }

// OpenFileStore opens a file, or makes it. Its folder must be there. Only the
// user of the process can read it: messages stand in it in the clear.
func OpenFileStore(path string) (*FileStore, error) {
	_, statErr := os.Stat(path)
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoStatistics: true})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, path, err)
	case err != nil:
		return nil, fmt.Errorf("client: open store: %w", err)
	}
	s := &FileStore{db: db}
	err = s.prepare()
	if err == nil && errors.Is(statErr, os.ErrNotExist) {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("client: open store %s: %w", path, err)
	}
	return s, nil
}

// prepare makes the buckets of a new file, and looks at the format of an old
// one.
func (s *FileStore) prepare() error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketMeta); b != nil {
			if f := b.Get(keyFormat); string(f) != storeFormat {
				return fmt.Errorf("%w: %.16q", ErrFormat, f)
			}
			return nil
		}
		for _, name := range [][]byte{bucketMeta, bucketConversations, bucketLanes, bucketDrafts, bucketMessages} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return errors.Join(tx.Bucket(bucketMeta).Put(keyFormat, []byte(storeFormat)), putJSON(tx, bucketMeta, keyMeta, &Meta{NextDraft: 1}))
	})
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func putJSON(tx *bolt.Tx, bucket, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put(key, b)
}

// Load implements Store.
func (s *FileStore) Load() (*Saved, error) {
	saved := &Saved{}
	err := s.db.View(func(tx *bolt.Tx) error {
		if err := json.Unmarshal(tx.Bucket(bucketMeta).Get(keyMeta), &saved.Meta); err != nil {
			return err
		}
		return errors.Join(
			loadJSON(tx, bucketConversations, &saved.Conversations),
			loadJSON(tx, bucketLanes, &saved.Lanes),
			loadJSON(tx, bucketDrafts, &saved.Drafts),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("client: load store: %w", err)
	}
	return saved, nil
}

func loadJSON[T any](tx *bolt.Tx, bucket []byte, all *[]T) error {
	return tx.Bucket(bucket).ForEach(func(_, value []byte) error {
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return err
		}
		*all = append(*all, v)
		return nil
	})
}

// Apply implements Store.
func (s *FileStore) Apply(ch *Changes) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		if ch.Meta != nil {
			if err := putJSON(tx, bucketMeta, keyMeta, ch.Meta); err != nil {
				return err
			}
		}
		return errors.Join(applySmall(tx, ch), applyMessages(tx, ch))
	})
	if err != nil {
		return fmt.Errorf("client: write store: %w", err)
	}
	return nil
}

func applySmall(tx *bolt.Tx, ch *Changes) error {
	for i := range ch.Conversations {
		c := &ch.Conversations[i]
		if err := putJSON(tx, bucketConversations, c.ID[:], c); err != nil {
			return err
		}
	}
	for i := range ch.Lanes {
		l := &ch.Lanes[i]
		if err := putJSON(tx, bucketLanes, l.Conversation[:], l); err != nil {
			return err
		}
	}
	for i := range ch.Drafts {
		d := &ch.Drafts[i]
		if err := putJSON(tx, bucketDrafts, binary.BigEndian.AppendUint64(nil, d.ID), d); err != nil {
			return err
		}
	}
	for _, id := range ch.Dropped {
		if err := tx.Bucket(bucketDrafts).Delete(binary.BigEndian.AppendUint64(nil, id)); err != nil {
			return err
		}
	}
	return nil
}

func applyMessages(tx *bolt.Tx, ch *Changes) error {
	for _, id := range ch.Gone {
		if err := tx.Bucket(bucketConversations).Delete(id[:]); err != nil {
			return err
		}
		if err := cutMessages(tx, Cut{Conversation: id, Range: parley.SeqRange{To: 1<<64 - 1}}); err != nil {
			return err
		}
	}
	for _, cut := range ch.Cut {
		if err := cutMessages(tx, cut); err != nil {
			return err
		}
	}
	messages := tx.Bucket(bucketMessages)
	for i := range ch.Messages {
		m := &ch.Messages[i]
		b, err := wireOf(m).MarshalVT()
		if err != nil {
			return err
		}
		if err := messages.Put(messageKey(m.Conversation, m.Seq), b); err != nil {
			return err
		}
	}
	return nil
}

func messageKey(c parley.ConversationID, seq parley.Seq) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 24), c[:]...), uint64(seq))
}

func cutMessages(tx *bolt.Tx, cut Cut) error {
	messages := tx.Bucket(bucketMessages)
	end := messageKey(cut.Conversation, cut.Range.To)
	// A cursor must not move on over what it deleted, so each turn seeks anew.
	from := messageKey(cut.Conversation, cut.Range.From)
	for {
		k, _ := messages.Cursor().Seek(from)
		if k == nil || bytes.Compare(k, end) > 0 {
			return nil
		}
		if err := messages.Delete(k); err != nil {
			return err
		}
	}
}

// Messages implements Store.
func (s *FileStore) Messages(c parley.ConversationID, r parley.SeqRange, max int) ([]Message, error) {
	var found []Message
	err := s.db.View(func(tx *bolt.Tx) error {
		cursor := tx.Bucket(bucketMessages).Cursor()
		end := messageKey(c, r.To)
		for k, v := cursor.Seek(messageKey(c, r.From)); k != nil && bytes.Compare(k, end) <= 0 && len(found) < max; k, v = cursor.Next() {
			var w wire.Message
			if err := w.UnmarshalVT(v); err != nil {
				return err
			}
			found = append(found, messageOf(c, &w))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("client: read store: %w", err)
	}
	return found, nil
}

// Close implements Store.
func (s *FileStore) Close() error { return s.db.Close() }
