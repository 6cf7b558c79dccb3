package notifications_test

import (
	"strings"
	"testing"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/ons"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

func TestNotificationsWithTheSDK(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	provider, err := common.ConfigurationProviderFromFile(s.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ons.NewNotificationDataPlaneClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	c.Host = s.Endpoint()
	publish := func(topic, title, body string) error {
		_, err := c.PublishMessage(ctx,
			ons.PublishMessageRequest{TopicId: &topic, MessageDetails: ons.MessageDetails{Title: &title, Body: &body}})
		return err
	}
	if err := publish(localoci.TopicID, "a run failed", `{"a":1}`); err != nil {
		t.Fatal(err)
	}
	if err := publish("ocid1.onstopic.other", "t", "b"); localtest.Refusal(err) != "NotAuthorizedOrNotFound" {
		t.Errorf("another topic: %v", err)
	}
	if err := publish(localoci.TopicID, "t", strings.Repeat("x", 65<<10)); localtest.Refusal(err) != "PayloadTooLarge" {
		t.Errorf("a large message: %v", err)
	}
	list, err := s.Messages()
	if err != nil || len(list) != 1 || list[0].Title != "a run failed" || list[0].Body != `{"a":1}` {
		t.Errorf("messages %+v, %v", list, err)
	}
}
