# What people and the pipeline call. Every target runs from the module's root.

GO        ?= go
BIN       ?= bin
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT    ?= $(shell git rev-parse HEAD 2>/dev/null)
STAMP      = -X cemli-executor/internal/buildinfo.Version=$(VERSION) -X cemli-executor/internal/buildinfo.Commit=$(COMMIT)
FUZZTIME  ?= 30s
SIMTIME   ?= 5m

# Development tools are pinned here; they are no dependencies of the product.
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     = $(GO) run mvdan.cc/gofumpt@v0.12.0
GOVULNCHECK = $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.5.0

.PHONY: build check test vet fmt staticcheck tidy vuln cross fuzz bench chaos simulate

build: ## both binaries, static and stripped, side by side
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w $(STAMP)' -o $(BIN)/ . ./cmd/cemli

check: fmt tidy vet staticcheck cross test vuln ## everything that must hold before a change lands

test: ## the README's test command, with the race detector
	$(GO) test -race -timeout 20m $(TESTFLAGS) ./...

vet:
	$(GO) vet ./...

fmt: ## fails if a file is not formatted
	@files="$$($(GOFUMPT) -l .)"; if [ -n "$$files" ]; then echo "not formatted (run gofumpt -w):"; echo "$$files"; exit 1; fi

staticcheck:
	$(STATICCHECK) ./...

tidy: ## fails if go.mod or go.sum is not what the code needs
	$(GO) mod tidy -diff
	$(GO) mod verify

cross: ## the command line also builds where it cannot run packages
	GOOS=darwin GOARCH=arm64 $(GO) vet ./cmd/cemli
	GOOS=windows GOARCH=amd64 $(GO) vet ./cmd/cemli

vuln: ## known vulnerabilities, where the database can be reached
	@scripts/vulncheck.sh $(GOVULNCHECK) ./...

fuzz: ## every fuzz target for FUZZTIME
	@scripts/fuzz.sh $(FUZZTIME)

bench: ## the figures that the documentation names
	$(GO) test -run '^$$' -bench . -benchmem ./...

simulate: ## histories of everything that can go wrong, for SIMTIME
	$(GO) test -run 'TestSimulation$$' -v -timeout 0 ./executor -sim.time $(SIMTIME) | grep -v '^=== \|--- PASS'

chaos: ## the real function, killed at random, over a local OCI that fails
	$(GO) test -run TestChaos -v -timeout 60m ./internal/local -chaos.packages 500 -chaos.groups 20
