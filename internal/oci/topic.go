package oci

import (
	"context"
	"fmt"

	"github.com/oracle/oci-go-sdk/v65/ons"
)

// Publish sends a message to a topic of Notifications. The service takes 64 KB, title
// included.
func (c *Client) Publish(ctx context.Context, topic, title, body string) error {
	_, err := c.call(ctx, func(ctx context.Context, p *principal) error {
		api, err := ons.NewNotificationDataPlaneClientWithConfigurationProvider(p.provider)
		if err != nil {
			return credentialsError(err)
		}
		c.configure(&api.BaseClient)
		_, err = api.PublishMessage(ctx, ons.PublishMessageRequest{
			TopicId: &topic, MessageDetails: ons.MessageDetails{Title: &title, Body: &body},
			MessageType: ons.PublishMessageMessageTypeRawText,
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("publish to the topic: %w", brief(err))
	}
	return nil
}
