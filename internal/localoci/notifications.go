package localoci

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
)

// Message is what was published to a topic.
type Message struct {
	ID      string    `json:"messageId"`
	TopicID string    `json:"topicId"`
	Time    time.Time `json:"timeStamp"`
	Title   string    `json:"title,omitempty"`
	Body    string    `json:"body"`
}

// Bounds of a message.
const (
	maxMessage      = 64 << 10
	maxMessageTitle = 200
	maxMessagesKept = 1000 // of the local list; the oldest are forgotten
)

// publish takes a message for a topic; nobody is subscribed to it but the list.
func (s *Server) publish(w http.ResponseWriter, r *request, to route) error {
	if to.object != TopicID || !s.allowed(r, iam.TopicPublish, map[string]string{"target.topic.id": to.object}) {
		return errNotAuthorizedOrNotFound
	}
	body, err := r.body.all()
	if err != nil {
		return err
	}
	var q struct{ Title, Body string }
	if err := json.Unmarshal(body, &q); err != nil || q.Body == "" {
		return apiError{http.StatusBadRequest, "InvalidParameter", "The message needs a body."}
	}
	if len(body) > maxMessage || len(q.Title) > maxMessageTitle {
		return apiError{http.StatusRequestEntityTooLarge, "PayloadTooLarge", "The message is larger than 64 KB, or its title longer than 200 characters."}
	}
	m := Message{ID: uuid.NewString(), TopicID: to.object, Time: s.config.Now().UTC(), Title: q.Title, Body: q.Body}
	if err := s.storage.addMessage(m); err != nil {
		return err
	}
	s.observe("message", q.Title, nil)
	writeJSON(w, http.StatusAccepted, map[string]any{"messageId": m.ID, "timeStamp": m.Time})
	return nil
}

func (s *storage) addMessage(m Message) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		number, err := tx.Bucket(tableMessages).NextSequence()
		if err != nil {
			return err
		}
		if number > maxMessagesKept {
			if err := tx.Bucket(tableMessages).Delete(binary.BigEndian.AppendUint64(nil, number-maxMessagesKept)); err != nil {
				return err
			}
		}
		return putRecord(tx, tableMessages, binary.BigEndian.AppendUint64(nil, number), m)
	})
}

// Messages returns the messages that were published, the oldest first, up to 1,000.
func (s *Server) Messages() ([]Message, error) {
	return view(s.storage, func(tx *bolt.Tx) ([]Message, error) {
		list := []Message{}
		err := tx.Bucket(tableMessages).ForEach(func(_, value []byte) error {
			var m Message
			err := json.Unmarshal(value, &m)
			list = append(list, m)
			return err
		})
		return list, err
	})
}
