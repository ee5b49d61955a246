.DEFAULT_GOAL := help
GO ?= go
# Where scripts/tools.sh puts a newer Node, if the system has none.
export PATH := $(CURDIR)/bin/node/node_modules/.bin:$(PATH)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/parley
	$(GO) build -o bin/parley ./cmd/parley

.PHONY: run
run: build ## a server for trying Parley out, on 127.0.0.1:8080, with a page
	bin/parley serve --dev

.PHONY: demo
demo: build ## the same among people who have talked for years, with its data in demo-data/
	bin/parley demo

.PHONY: tools
tools: ## install what the tests need and this machine lacks
	scripts/tools.sh

.PHONY: test
test: tools vet generate-check ## pass the tests, as CI does
	$(GO) test -race ./...
	$(GO) test -count=1 -run 'Alloc|IdleSession|Newest' ./wal ./engine ./chat ./cluster ./gateway ./wire ./client ./bench # the race detector allocates
	$(GO) test -count=1 ./internal/sim # without the race detector there is time for 200 seeds
	$(MAKE) --no-print-directory js-test
	cd clients/js && node scenario/run.mjs # the scenarios, which go test has played with the Go SDK
	$(MAKE) --no-print-directory web-check web-test
	scripts/mutants.sh

.PHONY: js
js: clients/js/node_modules/.package-lock.json ## build the SDK in TypeScript
	cd clients/js && npm run --silent build

.PHONY: js-test
js-test: clients/js/node_modules/.package-lock.json ## test it: against servers false and real, and in a browser
	cd clients/js && npm test

clients/js/node_modules/.package-lock.json: clients/js/package-lock.json
	cd clients/js && npm ci
	touch $@

.PHONY: web
web: web/node_modules/.package-lock.json ## bundle the messenger anew, into web/dist
	cd web && npm run --silent build

.PHONY: web-check
web-check: web/node_modules/.package-lock.json ## fail when web/dist is not what its source gives
	cd web && node check.mjs

.PHONY: web-test
web-test: build web/node_modules/.package-lock.json ## drive the messenger in a browser; LONG=1 for its long form
	cd web && node --test --test-concurrency=$(if $(LONG),1,2) test/*.test.mjs

.PHONY: screenshots
screenshots: build web/node_modules/.package-lock.json ## every screen, into docs/screenshots
	cd web && node test/screenshots.mjs

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci

.PHONY: scenarios
scenarios: js ## play clients/scenarios with both SDKs, and print a table
	cd clients/js && node scenario/run.mjs --with-go

.PHONY: mutants
mutants: ## put every known fault in, one at a time, and see it caught
	scripts/mutants.sh

N ?= 200
.PHONY: crash
crash: tools ## kill, cut the power and break the disk, N times (200), and write docs/bench/crash-N.txt
	scripts/crash.sh $(N)

.PHONY: vet
vet: ## go vet and formatting
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run: make fmt' >&2; exit 1; }

.PHONY: fmt
fmt: ## format every Go file
	gofmt -w .

.PHONY: generate
generate: ## make the generated code anew
	scripts/generate.sh

.PHONY: generate-check
generate-check: ## fail when the generated code is not that of its schema
	scripts/generate.sh --check

.PHONY: lint
lint: ## staticcheck, and doc comments on all that is exported
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	$(GO) test -count=1 -run "TestEverythingIsDocumented|TestImportsGoDown" .

.PHONY: bench-chat
bench-chat: ## measure, and write docs/bench/chat-*
	scripts/bench-chat.sh
