.DEFAULT_GOAL := help
GO ?= go

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: vet generate-check ## pass the tests, as CI does
	$(GO) test -race ./...

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
