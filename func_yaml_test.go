package main

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// funcYAML has the keys that the Fn CLI knows in a func.yaml: it ignores any other.
type funcYAML struct {
	SchemaVersion int               `yaml:"schema_version"`
	Name          string            `yaml:"name"`
	Version       string            `yaml:"version"`
	Runtime       string            `yaml:"runtime"`
	Memory        int               `yaml:"memory"`
	Timeout       int               `yaml:"timeout"`
	IdleTimeout   int               `yaml:"idle_timeout"`
	Config        map[string]string `yaml:"config"`
	Deploy        struct {
		OCI struct {
			ProvisionedConcurrency int `yaml:"provisioned_concurrency"`
			DetachedMode           struct {
				Timeout   string `yaml:"timeout"`
				OnSuccess any    `yaml:"on_success"`
				OnFailure any    `yaml:"on_failure"`
			} `yaml:"detached_mode"`
		} `yaml:"oci"`
	} `yaml:"deploy"`
}

// A function that fn deploy makes starts: OCI takes its figures, and it its configuration.
func TestFuncYAML(t *testing.T) {
	var f funcYAML
	readYAML(t, readFile(t, "func.yaml"), &f)
	if f.SchemaVersion != 20180708 || f.Name != "cemli-executor" || f.Version == "" || f.Runtime != "docker" {
		t.Errorf("schema %d, name %q, version %q, runtime %q", f.SchemaVersion, f.Name, f.Version, f.Runtime)
	}
	if !slices.Contains([]int{128, 256, 512, 1024, 2048, 3072}, f.Memory) || f.Timeout < 5 || f.Timeout > 300 ||
		f.IdleTimeout < 1 {
		t.Errorf("memory %d, timeout %d, idle timeout %d", f.Memory, f.Timeout, f.IdleTimeout)
	}
	d, err := time.ParseDuration(f.Deploy.OCI.DetachedMode.Timeout)
	if err != nil || d < 5*time.Second || d > time.Hour {
		t.Errorf("detached timeout %q: %v", f.Deploy.OCI.DetachedMode.Timeout, err)
	}
	environ := []string{"OCI_RESOURCE_PRINCIPAL_VERSION=2.2"}
	for _, key := range slices.Sorted(maps.Keys(f.Config)) {
		environ = append(environ, key+"="+f.Config[key])
	}
	c, problems := ParseConfig(environ)
	if len(problems) > 0 {
		t.Errorf("the configuration is refused: %+v", problems)
	}
	if c.Environment != f.Config["CEMLI_ENVIRONMENT"] || c.ResultsBucket != f.Config["RESULTS_BUCKET"] {
		t.Errorf("the configuration is not used: %+v", c)
	}
}
