package localoci

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// adminPath begins what OCI does not have: switches and views of the local OCI itself.
//
//	GET  /local/faults     the faults in force
//	PUT  /local/faults     Faults, as JSON, instead of them
//	GET  /local/messages   what was published to topics
//	POST /local/secrets    {"name", "content"}: a new version of a secret, base64
//
// They are not signed, but want the header Cemli-Local, which no page in a browser can
// send without being asked.
const adminPath = "/local/"

const adminHeader = "Cemli-Local"

func (s *Server) admin(w http.ResponseWriter, r *request) {
	if err := s.adminCall(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s *Server) adminCall(w http.ResponseWriter, r *request) error {
	if r.Header.Get(adminHeader) == "" {
		return apiError{http.StatusForbidden, "NotAllowed", "This needs the header " + adminHeader + ": 1."}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxJSON))
	if err != nil {
		return apiError{http.StatusBadRequest, "InvalidParameter", "The request body could not be read."}
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /local/faults":
		writeJSON(w, http.StatusOK, s.faults.get())
	case "PUT /local/faults":
		var f Faults
		err := decodeStrict(body, &f)
		if err == nil {
			err = s.SetFaults(f)
		}
		if err != nil {
			return apiError{http.StatusBadRequest, "InvalidParameter", err.Error()}
		}
		writeJSON(w, http.StatusOK, f)
	case "GET /local/messages":
		messages, err := s.Messages()
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, map[string]any{"items": messages})
	case "POST /local/secrets":
		var q struct {
			Name    string `json:"name"`
			Content []byte `json:"content"`
		}
		if err := decodeStrict(body, &q); err != nil {
			return apiError{http.StatusBadRequest, "InvalidParameter", err.Error()}
		}
		made, err := s.PutSecret(q.Name, q.Content)
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, made)
	default:
		return apiError{http.StatusNotFound, "NotFound", "There is no such switch or view."}
	}
	return nil
}

// decodeStrict reads one JSON value without keys that are not known.
func decodeStrict(doc []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is text after the JSON value")
	}
	return nil
}
