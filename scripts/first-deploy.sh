#!/usr/bin/env bash
# first-deploy.sh [TERRAFORM ARGUMENT...]: from the first apply of an environment
# to the result of its first package, all steps of docs/operations that need no
# decision. Its arguments are those of that apply. Without any it takes
# -var-file=environments/NAME.tfvars, if there is one of the environment's name.
#
# Each step looks what is there before it does anything, so that this can be
# stopped and run again at any moment. It calls OCI through its command line;
# terraform and git go their own ways.
set -euo pipefail
cd "$(dirname "$0")/.."

# Looks at what it waits for every PAUSE seconds; its waits are a number of looks, 3 a minute.
pause=${FIRST_DEPLOY_PAUSE:-20}

case ${1-} in -h | --help)
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
  exit
  ;;
esac

say() { printf '%s\n' "$*" | fold -s -w 80 | sed 's/ *$//'; }
step() { say "" && say "== $*"; }

# fail WHAT NEXT: what happened to what, and what to do.
fail() {
  say "FAILED: $1" >&2
  say "Next: $2" >&2
  exit 1
}
again='then run this again; it goes on where it stopped.'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'say "Stopped. Run this again, and it goes on where it stopped." >&2; exit 130' INT TERM

# ask WHAT COMMAND…: the answer of a command, or what became of it.
ask() {
  local what=$1
  shift
  "$@" 2>"$work/error" && return
  cat "$work/error" >&2
  fail "$what: $1 ended with the lines above." \
    "Mend what they name. A permission that is missing may only be new: wait some minutes; $again"
}

# look WHAT MINUTES COMMAND… repeats the command until it succeeds. The command fails with 1 as long as it is too early;
# any other failure is final.
look() {
  local what=$1 minutes=$2 tries code
  shift 2
  for ((tries = 0; tries < minutes * 3; tries++)); do
    code=0
    "$@" || code=$?
    ((code != 0)) || return 0
    ((code == 1)) || exit 1
    ((tries % 3 != 0)) || say "   waiting for $what: $((tries / 3)) of at most $minutes minutes"
    sleep "$pause"
  done
  return 1
}

step "What the first apply made"
for program in oci terraform git jq; do
  command -v "$program" >/dev/null ||
    fail "$program is not installed." "Install it, or use Cloud Shell, which has it; $again"
done
ask "Terraform's outputs" terraform -chdir=terraform output -json >"$work/outputs"
output() { jq -r --arg name "$1" '.[$name].value // empty' "$work/outputs"; }

environment=$(jq -r '.tags.value.Environment // empty' "$work/outputs")
compartment=$(output compartment_id)
[[ -n $environment && -n $compartment ]] ||
  fail "Terraform has made nothing yet in the workspace $(terraform -chdir=terraform workspace show)." \
    "Follow step 1 and 2 of docs/operations/README.md, which are decisions: choose, read the plan, apply with create_function=false; then run this."
builds=$(output build_pipeline_id)
[[ -n $builds ]] ||
  fail "The environment $environment builds no image." \
    "This is for the environment that does (build=true). For others name the image as docs/operations/README.md says under 'Another environment'."
(($# > 0)) || [[ ! -f terraform/environments/$environment.tfvars ]] || set -- "-var-file=environments/$environment.tfvars"
repository=$(output repository_id)
branch=$(output repository_branch)
packages=$(jq -r '.buckets.value.packages' "$work/outputs")
results=$(jq -r '.buckets.value.results' "$work/outputs")
say "   environment $environment"

step "The repository has the code"
# pushed: the commit of the branch in the repository of DevOps; empty if there is none yet.
pushed() {
  ask "The branch $branch of the repository" \
    oci devops repository list-refs --repository-id "$repository" --ref-type BRANCH --ref-name "$branch" --all |
    jq -r --arg branch "$branch" 'first(.data.items[]? | select(."ref-name" == $branch) | ."commit-id") // empty'
}
mirrored() {
  local commit
  commit=$(pushed) || return 2
  [[ -n $commit ]]
}
fill() {
  local there head
  there=$(pushed)
  head=$(ask "The commit to push" git rev-parse HEAD)
  if [[ -n $there ]] && git merge-base --is-ancestor "$head" "$there" 2>/dev/null; then
    say "   it has commit ${head:0:12} already"
    return
  fi
  [[ -z $there ]] || git merge-base --is-ancestor "$there" "$head" 2>/dev/null ||
    fail "The branch $branch there has commit ${there:0:12}, which is not among those of this copy." \
      "Nothing was replaced. Fetch and merge it if it is yours, or empty the repository; $again"
  say "   pushing commit ${head:0:12}. Git asks for TENANCY/DOMAIN/USER and an auth token, which you make in the console under your profile."
  git push --quiet "$(output repository_url)" "HEAD:refs/heads/$branch" ||
    fail "The push of $branch was refused, for the reason above." \
      "Check user and token: docs/operations/README.md, step 3; $again"
}
hosted=
if [[ -z $repository ]]; then
  say "   it is read where it is, there is nothing to push"
elif [[ -n $(output connection_id) ]]; then
  look "the mirror's first copy" 40 mirrored ||
    fail "The mirror has no branch $branch after 40 minutes." \
      "See the repository's page: its token, address and schedule; $again"
  say "   the mirror has it"
else
  hosted=1
  fill
fi

step "The first build"
# runs STATE…: the builds in these states, the newest first.
runs() {
  local list
  list=$(ask "The list of builds" oci devops build-run list --build-pipeline-id "$builds" \
    --sort-by timeCreated --sort-order DESC --all) || exit
  jq -r '[.data.items[]? | select(."lifecycle-state" | IN($ARGS.positional[]))] | first // empty | .id' \
    --args "$@" <<<"$list"
}
any=(ACCEPTED IN_PROGRESS CANCELING SUCCEEDED)
begun() {
  local id
  id=$(runs "${any[@]}") || return 2
  [[ -n $id ]]
}
shown=
finished() {
  local state
  ask "The build" oci devops build-run get --build-run-id "$build" >"$work/build" || return 2
  state=$(jq -r '.data."lifecycle-state" + ([.data."build-run-progress"."build-pipeline-stage-run-progress"[]? |
    select(.status == "IN_PROGRESS") | ", stage " + ."stage-display-name"] | join(""))' "$work/build")
  [[ $state == "$shown" ]] || say "   $state"
  shown=$state
  case $state in
    SUCCEEDED*) return 0 ;;
    FAILED* | CANCELED*)
      (fail "The build ended as $state: $(jq -r '.data."lifecycle-details" // "no details"' "$work/build")" \
        "Its log is cemli-$environment-devops, and on its page in the console. Mend what it names, or leave it, if a permission was missing, which was only new; run this again, and it starts another build.") || return 2
      ;;
  esac
  return 1
}
build=$(runs SUCCEEDED)
if [[ -n $build ]]; then
  say "   there is one that succeeded"
else
  build=$(runs "${any[@]}")
  failed=$(runs FAILED CANCELED)
  if [[ -n $build ]]; then
    say "   one is under way"
  elif [[ -n $failed ]]; then
    say "   the last one failed"
  elif [[ -n $hosted ]]; then
    look "the push to start it" 3 begun || say "   the push has started none"
  fi
  build=$(runs "${any[@]}")
  if [[ -z $build ]]; then
    say "   starting it"
    build=$(ask "The start of the build" oci devops build-run create --build-pipeline-id "$builds" | jq -r .data.id)
  fi
  say "   it checks, builds and delivers the image, which takes up to 90 minutes"
fi
look "the build" 100 finished ||
  fail "The build has not ended after 100 minutes, although its own limit is 90." "Look at it in the console; $again"

step "The function"
tag=$(jq -r '[.data."build-outputs"."exported-variables".items[]? |
  select(.name == "IMAGE_TAG") | .value] | first // empty' "$work/build")
[[ -n $tag ]] ||
  fail "The build names no IMAGE_TAG among its exported variables." \
    "Compare build_spec.yaml with this repository's; build again with it; $again"
image=$(output image_path)
digest=$(ask "The image $tag" oci artifacts container image list --compartment-id "$compartment" \
  --repository-name "${image#*/*/}" --image-version "$tag" --all |
  jq -r '[.data.items[]?.digest] | first // empty')
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] ||
  fail "The registry has no image $tag in $image, though the build succeeded." \
    "See the build's stage deliver; the statement build_pushes_image; build again; $again"

# What Terraform's own waits are made of may be replaced; nothing else is taken away by this apply.
# A variable that comes later on the command line counts.
planned=0
say "   Terraform plans it, which takes a minute or two"
terraform -chdir=terraform plan -input=false -no-color -detailed-exitcode -out="$work/plan" "$@" \
  -var create_function=true \
  -var function_image="$image:$tag" -var function_image_digest="$digest" >"$work/planned" 2>&1 || planned=$?
case $planned in
  0) say "   it is there already" ;;
  2)
    taken=$(ask "The plan" terraform -chdir=terraform show -json "$work/plan" |
      jq -r '.resource_changes[]? | select((.change.actions | index("delete")) and .type != "terraform_data") | "   " + .address')
    [[ -z $taken ]] ||
      fail "The plan takes something away, and nothing was applied:"$'\n'"$taken" \
        "Give this script the arguments of the first apply, or apply by hand after reading the plan (docs/operations/README.md, step 4); $again"
    grep '^Plan:' "$work/planned" | sed 's/^/   /' || true
    say "   applying it, which takes about five minutes"
    terraform -chdir=terraform apply -input=false -no-color "$work/plan" >"$work/applied" 2>&1 || {
      tail -n 30 "$work/applied" >&2
      fail "The apply did not end well, for the reason above." \
        "A permission that is missing may only be new: wait some minutes; $again"
    }
    ;;
  *)
    tail -n 30 "$work/planned" >&2
    fail "Terraform could not plan, for the reason above." "Mend what it names; $again"
    ;;
esac
ask "Terraform's outputs" terraform -chdir=terraform output -json >"$work/outputs"
function=$(output function_id)
[[ -n $function ]] ||
  fail "Terraform applied and has no function_id." "Look whether the arguments say create_function=false; $again"
say "   image $tag"

# has BUCKET NAME: whether an object is there.
has() {
  local list
  list=$(ask "The bucket $1" oci os object list -bn "$1" --prefix "$2" --all) || exit
  jq -e --arg name "$2" 'any(.data[]?; .name == $name)' <<<"${list:-{\}}" >/dev/null
}

step "Its policy"
policy=$(jq -r '.function_config.value.CEMLI_POLICY // empty' "$work/outputs")
if [[ -z $policy ]]; then
  say "   none is configured (policy_object), and everything valid is admitted"
elif has "${policy%%/*}" "${policy#*/}"; then
  say "   ${policy#*/} is there already"
else
  example=examples/policies/${policy#*/}
  [[ -f $example ]] ||
    fail "The function reads $policy, which is not there, and there is no example of that name." \
      "Write it, from one of examples/policies, and put it there (docs/operations/README.md, step 6); $again"
  ask "The policy" oci os object put -bn "${policy%%/*}" --name "${policy#*/}" --file "$example" --no-overwrite >/dev/null
  say "   $example, to begin with"
fi

step "Whether it works"
probe() { oci fn function invoke --function-id "$function" --file - --body "$1" 2>"$work/error"; }
works() { [[ $(probe '{"action":"probe","verdict":true}') == true ]]; }
say "   it may take up to 15 minutes until it has its permissions"
look "its verdict" 16 works || {
  cat "$work/error" >&2
  probe '{"action":"probe"}' | jq -r '.lines[]? | select(.ok | not) | "   \(.what): \(.says) \(.cure // "")"' |
    fold -s -w 80 >&2 || true
  fail "The function is not as it should be: the lines above say what is missing." \
    "Do what they name; see docs/operations/probe.md; $again"
}
say "   it does"

step "The first package"
result() {
  local list
  list=$(ask "The bucket $results" oci os object list -bn "$results" --prefix runs/ --all) || exit
  jq -r '[.data[]?.name | select(test("^runs/[^/]*-hello-cemli-[^/]*/result[.]json$"))] | last // empty' <<<"${list:-{\}}"
}
ended() {
  local name
  name=$(result) || return 2
  [[ -n $name ]]
}
upload() {
  local cemli
  cemli=$(PATH=$PATH:$PWD/bin command -v cemli) || {
    say "   making cemli first, which takes up to six minutes"
    make build >&2 || fail "cemli could not be built, for the reason above." "See README.md, Install; $again"
    cemli=$PWD/bin/cemli
  }
  "$cemli" pack examples/hello-cemli -O "$work/$1" >/dev/null || fail "examples/hello-cemli could not be packed." \
    "Mend what is named above; $again"
  ask "The upload" oci os object put -bn "$packages" --name "$1" --file "$work/$1" --no-overwrite >/dev/null
}
name="hello-cemli-$(jq -r .version examples/hello-cemli/manifest.json).zip"
object=$(result)
if [[ -n $object ]]; then
  say "   it has run"
elif has "$packages" "$name"; then
  say "   $name is uploaded"
else
  upload "$name"
  say "   $name is uploaded now"
fi
look "its result; if its event is lost the next sweep finds it" 30 ended ||
  fail "There is no result of $name after 30 minutes." \
    "See 'Known failures' in docs/operations/README.md: an upload runs nothing; $again"

step "Its result"
object=$(result)
ask "The result" oci os object get -bn "$results" --name "$object" --file - >"$work/result"
jq -r '"   \(.status): \(.package.name) \(.package.version), \(.environment)", "   \(.message)", "   image \(.identity.image)"' \
  "$work/result" | fold -s -w 80
say "   $results/$object"
[[ $(jq -r .status "$work/result") == success ]] ||
  fail "The first package ended as $(jq -r .status "$work/result")." \
    "docs/authors/error-codes.md has cause and cure of what the message names. To run it again: docs/operations/README.md, 'Running again'."
say ""
say "The environment $environment works. Left are decisions: who is in which group, a policy of your own, who confirms the e-mails of Notifications."
