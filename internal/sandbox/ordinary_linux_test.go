package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"cemli-executor/internal/sandbox"
)

// TestOrdinaryScriptsNoticeNothing runs what packages do every day at level full.
func TestOrdinaryScriptsNoticeNothing(t *testing.T) {
	endpoint := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("pong")) }))
	defer endpoint.Close()
	for _, c := range []struct{ name, needs, script, stdout string }{
		{"pipes", "", `printf 'b\na\n' | sort | tr -d '\n' | cat`, "ab"},
		{
			"process substitution", "",
			`diff <(echo a) <(echo a) && cat <(echo sub) > >(tee copy) ; wait; sleep 0.1; cat copy`, "sub\nsub\n",
		},
		{
			"here-documents", "",
			"cat <<A\nshort $((1+1))\nA\nhead -c 200000 /dev/zero | tr '\\0' x >long; cat <<A | wc -c\n$(cat long)\nA\n", "short 2\n200001\n",
		},
		{
			"mktemp", "", `f=$(mktemp); d=$(mktemp -d); echo kept >"$f"; mv "$f" "$d/g"; cat "$d/g"; rm -r "$d"`,
			"kept\n",
		},
		{"jobs", "", `(sleep 0.05; echo one) & a=$!; (exit 3) & b=$!; wait $a; wait $b; echo $?`, "one\n3\n"},
		{
			"signals of its own", "", `trap 'echo caught' USR1; kill -USR1 $$; sleep 100 & kill %1; wait %1; echo $?`,
			"caught\n143\n",
		},
		{"xargs in parallel", "xargs", `seq 20 | xargs -P 8 -n 1 sh -c 'echo $0' | sort -n | tail -1`, "20\n"},
		{
			"tar", "tar", `mkdir d; echo text >d/f; ln -s f d/l; tar czf a.tgz d; rm -r d; tar xzf a.tgz; cat d/l`,
			"text\n",
		},
		{
			"a lot of files", "",
			`mkdir -p a/b/c; for i in $(seq 200); do echo $i >a/b/c/$i; done; cp -r a z; find z -type f | wc -l;
rm -rf a z`, "200\n",
		},
		{
			"devices", "",
			`echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo out >/dev/stdout;
echo err >/dev/stderr`, "3\n4\nout\n",
		},
		{"standard streams opened anew", "", `echo a | tee /dev/stderr | cat /dev/stdin; cat </dev/stdin`, "a\n"},
		{
			"the machine", "",
			`nproc >/dev/null && date -u +%Y >/dev/null && uname -s && getconf PAGESIZE >/dev/null &&
test -r /etc/os-release && grep -q MemTotal /proc/meminfo`, "Linux\n",
		},
		{"locks", "flock", `exec 9>lock; flock -n 9 && echo locked`, "locked\n"},
		{"pipes with names", "", `mkfifo p; echo through >p & cat p; wait`, "through\n"},
		{"sockets with names", "python3", `python3 -c '
import socket,os
s=socket.socket(socket.AF_UNIX); s.bind("s"); s.listen()
c=socket.socket(socket.AF_UNIX); c.connect("s"); print("met")'`, "met\n"},
		{"limits", "", `ulimit -c; ulimit -n >/dev/null; ulimit -Sn 100; ulimit -n`, "0\n100\n"},
		{
			"a script in a script", "", "echo 'echo inner $1' >inner.sh; bash inner.sh x; . ./inner.sh y",
			"inner x\ninner y\n",
		},
		{"timeout", "timeout", `timeout 0.1 sleep 10; echo $?; nice -n 5 echo nice`, "124\nnice\n"},
		{"curl", "curl", `curl -s ` + endpoint.URL, "pong"},
		{"a name", "getent", `getent hosts localhost >/dev/null && echo found`, "found\n"},
		{"python", "python3", `python3 - <<'A'
import json,os,subprocess,sqlite3,ssl,tempfile,threading,urllib.request
t=threading.Thread(target=lambda:None); t.start(); t.join()
subprocess.run(["true"],check=True); os.getrandom(4)
sqlite3.connect("db").execute("create table t(a)")
print(urllib.request.urlopen("` + endpoint.URL + `").read().decode(), tempfile.gettempdir()==os.environ["TMPDIR"])
A`, "pong True\n"},
		{"node", "node", `node -e '
const {execSync}=require("child_process"),fs=require("fs"),os=require("os");
fs.writeFileSync("f","x");execSync("true");os.cpus();
fetch("` + endpoint.URL + `").then(r=>r.text()).then(t=>console.log(t))'`, "pong\n"},
		{
			"git", "git",
			`git init -q r && cd r && git config user.email a@example.com && git config user.name a && echo x >f &&
git add f && git commit -q -m m && git log --format=%s && git gc -q && git clone -q . ../c && cat ../c/f`, "m\nx\n",
		},
		{"perl", "perl", `perl -e 'print join(",", sort map { fork || exit; wait; 1 } 1..2), "\n"'`, "1,1\n"},
		{"jq", "jq", `echo '{"a":[1,2]}' | jq -c .a`, "[1,2]\n"},
		{"awk and sed", "", `echo a b | awk '{print $2}' | sed s/b/c/; echo x >f; sed -i s/x/y/ f; cat f`, "c\ny\n"},
		{"zip", "zip", `echo x >f; zip -q a.zip f; unzip -p a.zip`, "x\n"},
		{
			"openssl", "openssl", `openssl rand -hex 2 | wc -c; printf a | openssl dgst -sha256 -r | cut -c1-4`,
			"5\nca97\n",
		},
		{
			"java", "javac",
			`echo 'class A { public static void main(String[] a) { System.out.println(Runtime.version().feature() > ` +
				`0); } }' >A.java; javac A.java && java -cp . A`, "true\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.needs != "" {
				if _, err := exec.LookPath(c.needs); err != nil {
					t.Skip("needs " + c.needs)
				}
			}
			cmd, out, errs := bash(t, c.script)
			cmd.Limits = sandbox.Limits{Processes: 100}
			got, err := sandbox.Run(t.Context(), cmd)
			if err != nil || got.Stopped || out.String() != c.stdout {
				t.Errorf("exit %d, error %v, stdout %q, want %q; stderr %q", got.ExitCode, err, out.String(), c.stdout,
					errs.String())
			}
			complaint := errs.String()
			if strings.Contains(complaint, "denied") || strings.Contains(complaint, "permitted") {
				t.Errorf("it noticed: %q", complaint)
			}
		})
	}
}
