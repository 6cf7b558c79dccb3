# What people and the pipeline call. Every target runs from the module's root.

GO        ?= go
BIN       ?= bin
VERSION   ?= $(or $(patsubst v%,%,$(shell git describe --tags --always --dirty 2>/dev/null)),devel)
COMMIT    ?= $(shell git rev-parse HEAD 2>/dev/null)
IMAGE     ?= cemli-executor:$(VERSION)
DIST      ?= dist
RACE      ?= -race# needs a C compiler; RACE= does without
FUZZTIME  ?= 30s
SIMTIME   ?= 10m
# What quick tests; the others start processes, compress, or play histories.
QUICK = ./manifest $(addprefix ./internal/,announce evidence folder iam leaks problem redact strictjson trigger)
export GO VERSION COMMIT

# Development tools are pinned here; they are no dependencies of the product.
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     = $(GO) run mvdan.cc/gofumpt@v0.12.0
GOVULNCHECK = $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.5.0
# Files whose names are known only when it runs are what this program is about: G304.
GOSEC       = $(GO) run github.com/securego/gosec/v2/cmd/gosec@v2.29.0 -quiet -exclude=G304 -exclude-dir=testdata
SCALIBR     = $(GO) run github.com/google/osv-scalibr/binary/scalibr@v0.5.3

.PHONY: build check lint test vet fmt staticcheck gosec tidy vuln secrets cross fuzz bench image smoke image-test dist sbom build-spec-test no-landlock apart chaos simulate help quick shellcheck way

build: ## both binaries, static and stripped, side by side
	scripts/build.sh $(BIN)/ . ./cmd/cemli

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

quick: fmt ## while you work: format, vet and fast tests, under 20 s
	$(GO) vet ./...
	$(GO) test -short . $(QUICK)

check: lint cross test vuln ## everything that must hold before a change lands

lint: fmt tidy vet staticcheck gosec shellcheck ## everything that reads the sources without running them

test: ## the README's test command, with the race detector
	$(GO) test $(RACE) -timeout 20m $(TESTFLAGS) ./...

vet: ## what the compiler does not mind and is wrong
	$(GO) vet ./...
	$(GO) vet -tags buildspec .

fmt: ## fails if a file is not formatted
	@files="$$($(GOFUMPT) -l .)"; if [ -n "$$files" ]; then echo "not formatted (run gofumpt -w):"; echo "$$files"; exit 1; fi

staticcheck: ## the same, more of it
	$(STATICCHECK) ./...

shellcheck: ## every script, those of templates and examples too
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run $$(git ls-files '*.sh'); else echo "NOT CHECKED: shellcheck is not installed"; fi

gosec: ## what looks insecure; what may stay says why, beside the line
	$(GOSEC) ./...

tidy: ## fails if go.mod or go.sum is not what the code needs
	$(GO) mod tidy -diff
	$(GO) mod verify

cross: ## the command line also builds where it cannot run packages
	GOOS=darwin GOARCH=arm64 $(GO) vet ./cmd/cemli ./internal/cli/...
	GOOS=windows GOARCH=amd64 $(GO) vet ./cmd/cemli ./internal/cli/...

vuln: ## known vulnerabilities, where the database can be reached
	@scripts/vulncheck.sh $(GOVULNCHECK) ./...

secrets: ## keys and tokens in the repository's files; a part of test too
	$(GO) test -count=1 -run '^TestRepositoryHasNoSecrets$$' .

fuzz: ## every fuzz target for FUZZTIME
	@scripts/fuzz.sh $(FUZZTIME)

bench: ## the figures that the documentation names
	$(GO) test -run '^$$' -bench . -benchmem -timeout 60m ./...

simulate: ## histories of everything that can go wrong, for SIMTIME
	$(GO) test -run 'TestSimulation$$' -v -timeout 0 ./executor -sim.time $(SIMTIME) | grep -v '^=== \|--- PASS'

way: ## calls and changes of file of one run in the executor's code
	@$(GO) run ./scripts/way

chaos: ## the real function, killed at random, over an OCI that fails
	$(GO) test -run TestChaos -v -timeout 60m ./internal/local -chaos.packages 500 -chaos.groups 20 -chaos.kills 4s

image: ## the image, with GO_IMAGE, RUNTIME_IMAGE, EXTRA_PACKAGES
	scripts/image.sh $(IMAGE)

smoke: ## an event through an image that is there
	TEST_IMAGE=$(IMAGE) $(GO) test -count=1 -v -run '^TestImage$$' ./internal/local

image-test: ## both, with bases of its own where none can be pulled
	scripts/image-test.sh $(IMAGE)

dist: ## archives of the command line, the stack's zip, checksums
	scripts/dist.sh $(DIST)

sbom: ## what the image contains
	mkdir -p $(DIST)
	scripts/sbom.sh $(IMAGE) $(DIST)/sbom.cdx.json $(SCALIBR)

apart: ## tests of runs, with every run's steps in a runner
	CEMLI_TEST_APART=1 $(GO) test -count=1 -timeout 20m $(TESTFLAGS) ./executor

no-landlock: ## tests as on kernels with no Landlock, and its first ABIs
	scripts/other-kernels.sh

build-spec-test: ## build_spec.yaml's steps in order, on this repository
	env $$(scripts/base-images.sh) $(GO) test -count=1 -v -timeout 60m -tags buildspec -run '^TestBuildSpecSteps$$' .
