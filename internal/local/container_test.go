package local_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// enclose is the way of an instance into a container of its own: an init of its user, no other process, and a /tmp,
// /dev/shm and HOME that it can write to.
const enclose = `set -e
dir=$1 binary=$2 host=${1%/*}
mount --bind "$host" /mnt
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mkdir -p "$host"
mount --bind /mnt "$host"
umount /mnt
mkdir /tmp/home
echo mine >/tmp/home/.profile
chown -R 1000:1000 /tmp/home "$dir/iofs" "$dir/credentials"
chmod 755 "$dir"
export HOME=/tmp/home
unset TMPDIR
$3
exec setpriv --reuid=1000 --regid=1000 --clear-groups tini -- "$binary"`

// enclosed starts a function in a container of its own, on a kernel without Landlock. With shared it believes that the
// container is not its own, and so does nothing for it: the control.
func enclosed(t *testing.T, shared bool, settings map[string]string) (c *cloud, instance string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, to make a container")
	}
	for _, name := range []string{"unshare", "setpriv", "tini"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("NOT TESTED: needs " + name)
		}
	}
	more := ":"
	if shared {
		more = "export TMPDIR=/tmp"
	}
	folder := make(chan string, 1)
	c = start(t, func(o *local.Options) {
		o.Settings = settings
		o.Wrap = func(dir, binary string) []string {
			select {
			case folder <- dir:
			default:
			}
			return testkit.UnderKernel(testkit.NoLandlock, "unshare", "--fork", "--kill-child", "--pid", "--mount-proc",
				"/bin/sh", "-c", strings.Replace(enclose, "$3", more, 1), "sh", dir, binary)
		}
	})
	c.put("first.zip", sample(t, "echo $PPID"))
	if r := c.result(c.answer()); r.Status != evidence.StatusSuccess || r.Sandbox.Level != "basic" {
		t.Fatalf("status %s, %s, %+v; the function's log:\n%s", r.Status, r.Message, r.Sandbox, c.log)
	}
	return c, <-folder
}

// tries runs a script.
func (c *cloud) tries(name, script string) evidence.Result {
	c.t.Helper()
	c.put(name+".zip", testkit.Zip(c.t, map[string]string{
		"manifest.json": `{"name":"` + name + `","version":"1.0.0","type":"extension"}`, "steps/run.sh": script,
	}))
	return c.result(c.answer())
}

// attackInit writes 61 bytes into the memory of the container's init.
const attackInit = `at=$(sed -n 's/-.*\[stack\]$//p' /proc/1/maps) && exec 3<>/proc/1/mem &&
printf '%061d' 7 | dd bs=1 seek=$((16#$at)) conv=notrunc >&3`

// initAttacked has a script write into the memory of the container's init, which would outlive it, and says what is
// wrong. Where it can, secrets are refused for that, too.
func (c *cloud) initAttacked(succeeds bool) {
	c.t.Helper()
	r := c.tries("attack", attackInit)
	if (r.Status == evidence.StatusSuccess) != succeeds || slices.Contains(r.Sandbox.Gaps, sandbox.GapInit) != succeeds {
		c.t.Errorf("status %s, gaps %v, stderr %q; the function's log:\n%s", r.Status, r.Sandbox.Gaps, r.Execution.Stderr, c.log)
	}
	if r := c.tries("after", "echo fine"); r.Status != evidence.StatusSuccess {
		c.t.Errorf("afterwards: status %s, %s", r.Status, r.Message)
	}
	if _, err := c.Server().PutSecret("erp-db", []byte("tiger-s3cr3t")); err != nil {
		c.t.Fatal(err)
	}
	c.put("secret.zip", testkit.Zip(c.t, map[string]string{
		"manifest.json": `{"name":"secret","version":"1.0.0","type":"extension","secrets":{"DB":{"vault_secret":"erp-db"}}}`,
		"steps/run.sh":  "echo ran",
	}))
	r = c.result(c.answer())
	if r.Error == nil || r.Error.Code != "secret.sandbox" || strings.Contains(r.Error.Message, "gap init") != succeeds {
		c.t.Errorf("secrets: status %s, %+v", r.Status, r.Error)
	}
}

func TestScriptsAttackTheInit(t *testing.T) {
	for _, shared := range []bool{false, true} {
		name := map[bool]string{false: "hidden", true: "control"}[shared]
		t.Run(name, func(t *testing.T) {
			c, _ := enclosed(t, shared, map[string]string{"CEMLI_SANDBOX": "basic"})
			c.initAttacked(shared)
		})
	}
}

// withoutLandlock is a container engine's filter of system calls that forbids Landlock.
const withoutLandlock = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ERRNO","errnoRet":1,
"names":["landlock_create_ruleset","landlock_add_rule","landlock_restrict_self"]}]}`

// The same in a container engine's container.
func TestScriptsAttackTheInitInContainer(t *testing.T) {
	testkit.NeedEngine(t)
	const image = "cemli-test:function"
	load := exec.Command("docker", "import", "-", image)
	load.Stdin = bytes.NewReader(testkit.EmptyImage(t, "function/cemli-executor"))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import image: %v: %s", err, out)
	}
	filter := filepath.Join(t.TempDir(), "filter.json")
	if err := os.WriteFile(filter, []byte(withoutLandlock), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, flags, command string
		succeeds             bool
	}{
		{"a shell", "", "/function/cemli-executor; exit $?", false},
		{"tini", "", "exec tini -- /function/cemli-executor", false},
		{"control", " -e TMPDIR=/tmp", "/function/cemli-executor; exit $?", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath("tini"); c.name == "tini" && err != nil {
				t.Skip("NOT TESTED: needs tini")
			}
			container := testkit.Container{
				Name: fmt.Sprintf("cemli-test-init-%d", os.Getpid()), Image: image, MemoryMB: 256, Inodes: 4096,
			}
			t.Cleanup(container.Remove)
			cloud := start(t, func(o *local.Options) {
				o.MemoryMB, o.Settings = container.MemoryMB, map[string]string{"CEMLI_SANDBOX": "basic"}
				o.Wrap = func(dir, binary string) []string {
					container.Flags = []string{"-v /usr:/usr:ro -v /etc:/etc:ro -v " + binary + ":/function/cemli-executor:ro" + c.flags}
					command := container.Command(dir)
					change := strings.NewReplacer("seccomp=unconfined", "seccomp="+filter, "/function/cemli-executor; exit $?", c.command)
					for i := range command {
						command[i] = change.Replace(command[i])
					}
					return command
				}
			})
			if r := cloud.tries("first", "echo ran"); r.Sandbox.Level != "basic" || r.Sandbox.NoLandlock != "forbidden" {
				t.Fatalf("the sandbox is %+v", r.Sandbox)
			}
			cloud.initAttacked(c.succeeds)
		})
	}
}

// What a script leaves in /tmp, /dev/shm and HOME is gone when the next one runs, in the same process.
func TestNothingIsLeftForTheNextRun(t *testing.T) {
	const leaves = `for d in /tmp /dev/shm /tmp/home "$INSTANCE"; do
  echo left >$d/left; mkdir -p $d/left-folder/a/b; chmod 0 $d/left-folder/a; mkfifo $d/left-pipe; ln -s / $d/left-link
done 2>/dev/null
chmod 700 /tmp/home; echo $PPID`
	const looks = `ls -AR /tmp/home /dev/shm "$INSTANCE" | grep left; ls -A /tmp | grep left; echo; stat -c %a /tmp/home; echo $PPID`
	for _, shared := range []bool{false, true} {
		name := map[bool]string{false: "cleaned", true: "control"}[shared]
		t.Run(name, func(t *testing.T) {
			c, instance := enclosed(t, shared, map[string]string{"CEMLI_SANDBOX": "basic"})
			in := "INSTANCE=" + instance + "/iofs\n"
			if !shared {
				in += "touch \"$INSTANCE/phonylsnr.sock\"\n" // where the socket is going to be again
			}
			first := c.tries("leaves", in+leaves)
			next := c.tries("looks", in+looks)
			if found := strings.Count(next.Execution.Stdout, "left"); (found > 0) != shared {
				t.Errorf("the next run finds %q; the function's log:\n%s", next.Execution.Stdout, c.log)
			}
			if !strings.HasSuffix(next.Execution.Stdout, "\n"+first.Execution.Stdout) {
				t.Errorf("it is another process: %q, %q", next.Execution.Stdout, first.Execution.Stdout)
			}
			if !shared && !strings.Contains(next.Execution.Stdout, "\n755\n") {
				t.Errorf("the mode of HOME stays changed: %q", next.Execution.Stdout)
			}
		})
	}
}

// What cannot be undone ends the container: the run is answered, and the next one is in another.
func TestADoubtEndsTheContainer(t *testing.T) {
	const socket = `cd "$INSTANCE"; for s in *; do case $s in lsnr.sock) ;; *) `
	for _, a := range []struct{ name, script, says string }{
		{"socket-removed", socket + `rm $s;; esac; done`, "socket was removed or replaced"},
		{"socket-replaced", socket + `rm $s; mkfifo $s; chmod 666 $s;; esac; done`, "socket was removed or replaced"},
		{"link-removed", `rm "$INSTANCE/lsnr.sock"`, "no longer the link"},
		{"link-replaced", `ln -sfn /tmp/elsewhere "$INSTANCE/lsnr.sock"`, "no longer the link"},
		{"settings-changed", `echo evil >>/tmp/home/.profile`, ".profile was changed"},
		{"settings-replaced", `cp /tmp/home/.profile /tmp/home/p; mv /tmp/home/p /tmp/home/.profile`, ".profile is another file"},
		{"settings-removed", `rm /tmp/home/.profile`, ".profile is gone"},
	} {
		t.Run(a.name, func(t *testing.T) {
			c, instance := enclosed(t, false, map[string]string{"CEMLI_SANDBOX": "basic"})
			r := c.tries(a.name, "INSTANCE="+instance+"/iofs\n"+a.script)
			if r.Status != evidence.StatusSuccess {
				t.Errorf("status %s, %s, stderr %q", r.Status, r.Message, r.Execution.Stderr)
			}
			next := c.tries("next", `cat /tmp/home/.profile; ls "`+instance+`/iofs" | wc -l`)
			if next.Status != evidence.StatusSuccess || next.Execution.Stdout != "mine\n2\n" {
				t.Errorf("next: status %s, %s, %+v", next.Status, next.Message, next.Execution)
			}
			log := c.log.String()
			if strings.Count(log, "a fresh container is started") != 1 || !strings.Contains(log, a.says) {
				t.Errorf("the function's log does not say %q:\n%s", a.says, log)
			}
		})
	}
}
