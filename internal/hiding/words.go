package hiding

import "strings"

// words are the words of which our documents and the platform's are made: keys, and values that the contract fixes. A
// secret that equals one of them does not mask it there.
var words = func() map[string]bool {
	known := map[string]bool{}
	for _, word := range strings.Fields(`
		$schema args change_ticket concurrency continue_on_error default delay description dry_run enum env
		environment_parameters environments group idempotent labels max name network on_busy on_failure on_set_failure
		outputs owner parameter_sets parameters pattern phase required requires requires_wait retries rollback
		rollback_timeout run runs_on not_before secrets sensitive steps timeout tools type vault_secret version
		boolean configuration continue extension integer integration localization modification none number post_check
		pre_check queue reject stop string
		bucket object etag version_id action parameter_set rerun_of resume_from rollback_of once_per force emergency
		verdict request_id reason reference scope state package dirhash run_id approval
		apply check cancel mark sweep probe request applied not_applied
		cloudEventsVersion eventID eventType eventTime eventTypeVersion contentType source extensions data
		compartmentId compartmentName resourceName resourceId availabilityDomain freeformTags definedTags
		additionalDetails bucketName bucketId objectName namespace versionId eTag archivalState identity principalName
		principalId specversion id time subject datacontenttype dataschema`) {
		known[word] = true
	}
	return known
}()
