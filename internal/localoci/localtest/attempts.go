package localtest

import (
	"fmt"
	"time"

	"cemli-executor/internal/localoci"
)

// Attempt is a request to a local OCI.
type Attempt struct{ Method, Path, Body string }

// Attempts are the calls that a function may make, or a person: in buckets that have an object "there", with a secret
// "erp-db". A person's succeed, in their order.
func Attempts(buckets ...string) []Attempt {
	var all []Attempt
	for _, bucket := range buckets {
		b := "/n/localns/b/" + bucket
		par := fmt.Sprintf(`{"name":"p","accessType":"AnyObjectReadWrite","objectName":"p/","timeExpires":%q}`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		all = append(all,
			Attempt{"GET", b, ""}, Attempt{"HEAD", b, ""}, Attempt{"GET", b + "/o", ""},
			Attempt{"GET", b + "/o/there", ""}, Attempt{"HEAD", b + "/o/there", ""}, Attempt{"PUT", b + "/o/new", "x"},
			Attempt{"PUT", b + "/o/there", "x"}, Attempt{"POST", b + "/p", par}, Attempt{"GET", b + "/p", ""},
			Attempt{"POST", b + "/u", `{"object":"large"}`},
			Attempt{"GET", b + "/retentionRules", ""}, Attempt{"GET", b + "/objectversions", ""},
			Attempt{"POST", b + "/actions/renameObject", `{"sourceName":"there","newName":"elsewhere"}`},
			Attempt{"DELETE", b + "/o/elsewhere", ""},
		)
	}
	return append(all,
		Attempt{"GET", "/n/localns/b?compartmentId=" + localoci.Compartment, ""},
		Attempt{"POST", "/n/localns/b", `{"name":"mine","compartmentId":"` + localoci.Compartment + `"}`},
		Attempt{"POST", "/20190301/secretbundles/actions/getByName?secretName=erp-db&vaultId=" + localoci.VaultID, ""},
		Attempt{"POST", "/20181201/topics/" + localoci.TopicID + "/messages", `{"body":"x"}`},
		Attempt{"POST", "/20190909/search", `{"timeStart":"2026-01-01T00:00:00Z","timeEnd":"2026-01-02T00:00:00Z",` +
			`"searchQuery":"search \"` + localoci.WriteLog + `\""}`},
		Attempt{"GET", "/20181201/functions/" + localoci.FunctionID, ""},
		Attempt{"GET", "/20181201/functions/" + localoci.RunnerID, ""},
		Attempt{"POST", "/20181201/functions/" + localoci.FunctionID + "/actions/invoke", "{}"},
		Attempt{"POST", "/20181201/functions/" + localoci.RunnerID + "/actions/invoke", "{}"},
	)
}
