#!/usr/bin/env bash
# Makes the generated code anew: wire/*.pb.go from wire/parley.proto.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/tools.sh protoc
go build -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto

# The messages that package wire's decoders use again; see wire/request.go.
pooled=()
for message in Request Send Acknowledge Mark ServerMessage Sent Message MarksChanged; do
	pooled+=(--go-vtproto_opt="pool=github.com/parleychat/parley/wire.$message")
done
protoc --plugin=bin/protoc-gen-go --plugin=bin/protoc-gen-go-vtproto \
	--go_out=. --go_opt=paths=source_relative \
	--go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+unmarshal_unsafe+size+pool \
	"${pooled[@]}" wire/parley.proto

# protoc only parses the schema here, so any version of it makes the same code.
# Its own is not written down, or each machine would make another file.
sed -i '/^\/\/ \tprotoc  *v[0-9.]*$/d' wire/parley.pb.go
