# The tools, and the one place that has their versions.
GOLANGCI_LINT = v2.15.0
GORELEASER    = v2.15.1
DYNALITE      = 3.2.2

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS = -s -w -X main.version=$(VERSION)
TARGETS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
# A number of inputs, not a time: the end of a time is now and then an error of the fuzzer itself ("context deadline exceeded").
FUZZTIME ?= 50000x
TEST_TOOLS = seq cmp od xargs
# THROTTLE_TEST_SERVERS=1 makes it an error if a server that tests need is not there; otherwise they are skipped.

golangci_lint = .tools/golangci-lint-$(GOLANGCI_LINT)
goreleaser    = .tools/goreleaser-$(GORELEASER)
dynalite      = node_modules/.dynalite-$(DYNALITE)

.PHONY: help build test servers redis-server lint fmt cross bench torture fuzz docs release-check snapshot tools all

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

build: ## ./throttle, and ./throttle-dynamodb, which it starts for a store in DynamoDB
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o throttle .
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o throttle-dynamodb ./cmd/throttle-dynamodb

test: ## every test, with the race detector; needs Go, a C compiler and the tools of any Unix
	@for t in $$(go env CC) sh $(TEST_TOOLS); do command -v $$t >/dev/null || { echo "make test: $$t is not installed" >&2; exit 1; }; done
	@$(MAKE) --no-print-directory --keep-going servers || test "$$THROTTLE_TEST_SERVERS" != 1
	go test -race ./...

servers: redis-server $(dynalite) ## what the tests of stores start: redis-server, and dynalite in node_modules/

redis-server:
	@command -v redis-server >/dev/null || \
		{ echo "make: redis-server is not installed: apt-get install redis-server, or brew install redis" >&2; exit 1; }

$(dynalite):
	@command -v npm >/dev/null || { echo "make: npm is not installed, dynalite needs it: apt-get install npm, or brew install node" >&2; exit 1; }
	@echo "installing dynalite@$(DYNALITE)"
	@npm install --prefix . --no-save --no-package-lock --no-audit --no-fund --loglevel=error dynalite@$(DYNALITE) >/dev/null || \
		{ echo "make: cannot install dynalite@$(DYNALITE): is there a network?" >&2; exit 1; }
	@touch '$@'

lint: $(golangci_lint) ## everything that reads the code, as it is on each system; go.mod is tidy
	go mod tidy -diff
	@for os in linux darwin windows; do echo "golangci-lint run ($$os)"; GOOS=$$os CGO_ENABLED=0 $(golangci_lint) run || exit 1; done

fmt: $(golangci_lint) ## formats the code
	$(golangci_lint) fmt

cross: ## every target of a release compiles
	@for t in $(TARGETS); do echo "$$t"; GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 go build -trimpath -o /dev/null . && \
		GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 go build -trimpath -o /dev/null ./cmd/throttle-dynamodb || exit 1; done

bench: ## against the peers that are installed; docs/benchmarks.md has results
	go run ./bench

torture: ## kills: workers that wait, for a minute (is any grant early?), and batches that resume (does any job run twice?)
	go run ./bench/torture -duration 60s
	go run ./bench/torture/resume

fuzz: ## each fuzz target, FUZZTIME inputs each (or a time, such as 10s)
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | while IFS=: read -r file func; do \
		echo "$${func#func } in $$(dirname $$file), $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" </dev/null || exit 1; \
	done

docs: ## man/ and completions/
	rm -rf man completions
	go run ./internal/docgen -version $(VERSION)

release-check: $(goreleaser) ## the release configuration is valid and has nothing deprecated
	$(goreleaser) check

snapshot: $(goreleaser) ## dist/: the archives and packages of a release
	$(goreleaser) release --snapshot --clean --skip=publish

tools: $(golangci_lint) $(goreleaser) ## the linter and the release tool, into .tools/

$(golangci_lint):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_LINT))

$(goreleaser):
	$(call install,github.com/goreleaser/goreleaser/v2,$(GORELEASER))

# install compiles a tool at its version and puts that into the name, so that another version is another file.
define install
@echo "installing $(1)@$(2)"
@GOBIN='$(CURDIR)/.tools' CGO_ENABLED=0 go install $(1)@$(2) || { echo "make: cannot install $(1)@$(2): is there a network?" >&2; exit 1; }
@mv '.tools/$(notdir $(patsubst %/v2,%,$(1)))' '$@'
endef

all: test lint cross release-check docs snapshot fuzz ## what CI runs
