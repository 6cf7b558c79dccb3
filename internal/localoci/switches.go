package localoci

import (
	"cemli-executor/internal/localoci/admin"
	"cemli-executor/internal/localoci/answer"
)

// switches are the functions of the admin interface.
type switches struct{ *Server }

// calls are the switches and views, by method and path.
func (s switches) calls() map[string]admin.Call {
	return map[string]admin.Call{
		"GET /local/faults":       admin.View(func() (Faults, error) { return s.faults.Get(), nil }),
		"PUT /local/faults":       admin.Switch(s.switchFaults),
		"GET /local/messages":     admin.View(s.listMessages),
		"POST /local/secrets":     admin.Switch(s.makeSecret),
		"POST /local/writes":      admin.Switch(s.makeWrite),
		"POST " + credentialsPath: admin.Switch(s.makeCredentials),
	}
}

func (s switches) switchFaults(f Faults) (Faults, error) {
	if err := s.SetFaults(f); err != nil {
		return f, answer.Invalid(err.Error())
	}
	return f, nil
}

func (s switches) listMessages() (map[string]any, error) {
	messages, err := s.Messages()
	return map[string]any{"items": messages}, err
}

// newSecret is a new version of a secret; the content is base64.
type newSecret struct {
	Name    string `json:"name"`
	Content []byte `json:"content"`
}

func (s switches) makeSecret(q newSecret) (SecretVersion, error) {
	return s.PutSecret(q.Name, q.Content)
}

func (s switches) makeWrite(l LoggedWrite) (LoggedWrite, error) {
	s.LogWrite(l)
	return l, nil
}
