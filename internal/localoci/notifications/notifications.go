// Package notifications is the Notifications service of a local OCI: one topic, whose only subscriber is a list.
package notifications

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/index"
)

// TopicID is the topic to which the function may publish.
const TopicID = "ocid1.onstopic.oc1.phx.cemlilocal"

// Message is a published message.
type Message struct {
	ID      string    `json:"messageId"`
	TopicID string    `json:"topicId"`
	Time    time.Time `json:"timeStamp"`
	Title   string    `json:"title,omitempty"`
	Body    string    `json:"body"`
}

// Limits of a message.
const (
	maxMessage      = 64 << 10
	maxMessageTitle = 200
	maxMessagesKept = 1000 // kept in the list; older ones are dropped
)

var table = []byte("messages")

// Tables is the index's table for the service.
var Tables = [][]byte{table}

// Service is the Notifications service.
type Service struct {
	gateway.Table
	db      *bolt.DB
	now     func() time.Time
	observe func(title string)
}

// New makes the service on an index that has its table; observe is called for each message, for people to watch.
func New(db *bolt.DB, now func() time.Time, observe func(title string)) *Service {
	s := &Service{db: db, now: now, observe: observe}
	s.Table = gateway.Table{{
		Method: http.MethodPost, Path: gateway.Dated(`/topics/([^/]+)/messages`), Handle: s.publish,
	}}
	return s
}

// publish accepts a message for a topic.
func (s *Service) publish(w http.ResponseWriter, r *gateway.Request, topic string) error {
	if topic != TopicID || !r.Allows(iam.TopicPublish, map[string]string{"target.topic.id": topic}) {
		return answer.NotFound
	}
	body, err := r.ReadAll()
	if err != nil {
		return err
	}
	var q struct{ Title, Body string }
	if err := json.Unmarshal(body, &q); err != nil || q.Body == "" {
		return answer.Invalid("The message needs a body.")
	}
	if len(body) > maxMessage || len(q.Title) > maxMessageTitle {
		return answer.New(http.StatusRequestEntityTooLarge, "PayloadTooLarge",
			"The message is larger than 64 KB, or its title longer than 200 characters.")
	}
	m := Message{ID: uuid.NewString(), TopicID: topic, Time: s.now().UTC(), Title: q.Title, Body: q.Body}
	if err := s.keep(m); err != nil {
		return err
	}
	s.observe(q.Title)
	answer.JSON(w, http.StatusAccepted, map[string]any{"messageId": m.ID, "timeStamp": m.Time})
	return nil
}

// keep adds a message to the list, and drops the oldest if there are too many.
func (s *Service) keep(m Message) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		number, err := tx.Bucket(table).NextSequence()
		if err != nil {
			return err
		}
		if number > maxMessagesKept {
			if err := tx.Bucket(table).Delete(index.Numbered(number - maxMessagesKept)); err != nil {
				return err
			}
		}
		return index.Put(tx, table, index.Numbered(number), m)
	})
}

// Messages returns the last 1,000 published messages, oldest first.
func (s *Service) Messages() ([]Message, error) {
	return index.View(s.db, func(tx *bolt.Tx) ([]Message, error) { return index.All[Message](tx, table) })
}
