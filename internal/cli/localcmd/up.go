package localcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/cli/usage"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/scratch"
)

// upHelp is the help of cemli local up.
var upHelp = usage.Help{
	Use:     "up",
	Short:   "Start a local OCI that stays until it is interrupted",
	Suggest: []string{"start", "serve"},
	Long: `Start a local OCI on loopback and keep it until it is interrupted.

When it is ready it prints one line of JSON: the endpoint, the OCI configuration
file, and the names that clients need. State is kept in --dir.

With --runner function there is a second function, which runs the steps of
packages and is granted nothing.`,
	Example: `  cemli local up --dir state
  cemli local up --runner function --verbose
  cemli local up --port 8080 --fault unavailable=0.1 --fault event_duplicate=1`,
}

func newUp(t *terminal.Terminal) *cobra.Command {
	var f stackFlags
	cmd := upHelp.Command(usage.NoArguments, func(cmd *cobra.Command, _ []string) error {
		return up(cmd.Context(), t, f)
	})
	f.add(cmd)
	cmd.Flags().StringVar(&f.dir, "dir", "",
		"`FOLDER` for the state (default: a new temporary one, removed at the end)")
	cmd.Flags().IntVar(&f.port, "port", 0, "`PORT` on 127.0.0.1; 0 takes any free one")
	cmd.Flags().IntVar(&f.instances, "instances", 2,
		"`NUMBER` of instances of each function that may run at the same time")
	cmd.Flags().BoolVar(&f.sharedUID, "shared-uid", false,
		"as root: one user for all instances, as on a Fn server (default: one each)")
	cmd.Flags().DurationVar(&f.sweep, "sweep-every", time.Minute,
		"`DURATION` between sweeps, which go on with what was left undone; 0: never")
	return cmd
}

// ready is what up prints when clients may connect.
type ready struct {
	Endpoint  string `json:"endpoint"`
	Config    string `json:"oci_config"`
	Namespace string `json:"namespace"`
	Packages  string `json:"packages_bucket"`
	Results   string `json:"results_bucket"`
	State     string `json:"state_bucket"`
	Function  string `json:"function_id"`
	Runner    string `json:"runner_id"` // empty: steps run in the function itself
	Jobs      string `json:"jobs_bucket"`
	Dir       string `json:"dir"`
}

// up serves until ctx ends.
func up(ctx context.Context, t *terminal.Terminal, f stackFlags) (err error) {
	dir := f.dir
	if dir == "" {
		var remove func() error
		if dir, remove, err = scratch.Dir("cemli-local-"); err != nil {
			return fmt.Errorf("make a folder for the state: %w", err)
		}
		defer func() { err = errors.Join(err, remove()) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("find the folder for the state: %w", err)
	}
	stack, stop, err := f.start(ctx, t, dir, terminal.NewProgress(t), local.Options{
		Port: f.port, Instances: f.instances, SharedUID: f.sharedUID,
		Observe: func(a localoci.Activity) { showActivity(t, a) },
	})
	if err != nil {
		return err
	}
	defer stop()
	if err := showReady(t, stack, dir); err != nil {
		return err
	}
	showWhatToTry(t, stack, dir)
	<-ctx.Done()
	return nil
}

// showReady prints the line that says that clients may connect.
func showReady(t *terminal.Terminal, stack *local.Stack, dir string) error {
	b := stack.Buckets()
	line, err := json.Marshal(ready{
		stack.Endpoint(), stack.ConfigFile(), localoci.Namespace, b.Packages, b.Results, b.State, localoci.FunctionID,
		stack.RunnerID(), b.Jobs, dir,
	})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if _, err := fmt.Fprintf(t.Stdout, "%s\n", line); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// showWhatToTry prints commands that work as they stand.
func showWhatToTry(t *terminal.Terminal, stack *local.Stack, dir string) {
	if t.JSON() {
		return
	}
	oci := "oci --config-file " + stack.ConfigFile() + " --endpoint " + stack.Endpoint()
	t.Notef("%s", strings.Join([]string{
		"state in " + dir + "; try, with the OCI CLI:", "",
		"  " + oci + " os object put -ns " + localoci.Namespace + " -bn " + stack.Buckets().Packages +
			" --file PACKAGE.zip",
		"  " + oci + " os object list -ns " + localoci.Namespace + " -bn " + stack.Buckets().Results,
		"  " + oci + " fn function invoke --function-id " + localoci.FunctionID +
			` --file - --body '{"object":"PACKAGE.zip"}'`, "",
		"and what was announced:", "",
		`  curl -H "Cemli-Local: $(cat ` + filepath.Join(dir, "admin-token") + `)" ` +
			stack.Endpoint() + "/local/messages", "",
	}, "\n"))
}

func showActivity(t *terminal.Terminal, a localoci.Activity) {
	text := t.Paint(terminal.Faint, a.Time.Format(time.TimeOnly)) + " " + terminal.Visible(a.Kind+" "+a.Detail)
	if a.Err != nil {
		text += " " + t.Paint(terminal.Red, terminal.Visible(a.Err.Error()))
	}
	t.Line(text)
}
