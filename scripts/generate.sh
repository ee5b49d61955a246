#!/usr/bin/env bash
# Makes the generated code anew: wire/*.pb.go from wire/parley.proto.
set -euo pipefail
cd "$(dirname "$0")/.."

go build -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto
pooled=()
for message in Request Send Acknowledge Mark; do
	pooled+=(--go-vtproto_opt="pool=github.com/parleychat/parley/wire.$message")
done
protoc --plugin=bin/protoc-gen-go --plugin=bin/protoc-gen-go-vtproto \
	--go_out=. --go_opt=paths=source_relative \
	--go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+unmarshal_unsafe+size+pool \
	"${pooled[@]}" wire/parley.proto
