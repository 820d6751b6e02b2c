VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS = -s -w -X main.version=$(VERSION)
TARGETS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: build test lint fmt cross all

build: ## ./throttle
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o throttle .

test: ## every test, with the race detector; needs nothing but Go, a C compiler and sh
	go test -race ./...

lint: ## gofmt and go vet
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not gofmt-ed: $$bad"; exit 1; fi
	go vet ./...

fmt:
	gofmt -w .

cross: ## every target of a release compiles
	@for t in $(TARGETS); do echo "$$t"; GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 go build -o /dev/null . || exit 1; done

all: test lint cross ## what CI runs
