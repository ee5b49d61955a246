#!/usr/bin/env bash
# Makes the generated code anew from wire/parley.proto: wire/*.pb.go, and the
# schema of the TypeScript client. With --check, only fails when that would change it.
set -euo pipefail
cd "$(dirname "$0")/.."

out=.
if [ "${1:-}" = --check ]; then
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
fi

scripts/tools.sh protoc
go build -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto
go build -o bin/protoc-gen-parley-ts ./clients/js/generate

# The messages that package wire's decoders use again; see wire/request.go.
pooled=()
for message in Request Send Acknowledge Mark ServerMessage Sent Message MarksChanged; do
	pooled+=(--go-vtproto_opt="pool=github.com/parleychat/parley/wire.$message")
done
protoc --plugin=bin/protoc-gen-go --plugin=bin/protoc-gen-go-vtproto \
	--go_out="$out" --go_opt=paths=source_relative \
	--go-vtproto_out="$out" --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+unmarshal_unsafe+size+pool \
	"${pooled[@]}" wire/parley.proto

# What a reader does not know it reads over. The generated code would keep it,
# which costs memory that strangers choose, and keep it unchecked: a group with a
# wrong end makes whoever prints the message panic.
sed -i '/m.unknownFields = append(m.unknownFields, /d' "$out/wire/parley_vtproto.pb.go"

# protoc only parses the schema here, so any version of it makes the same code.
# Its own is not written down, or each machine would make another file.
sed -i '/^\/\/ \tprotoc  *v[0-9.]*$/d' "$out/wire/parley.pb.go"

mkdir -p "$out/clients/js/src/wire"
protoc --plugin=bin/protoc-gen-parley-ts --parley-ts_out="$out/clients/js/src/wire" wire/parley.proto

if [ "$out" != . ]; then
	for file in wire/parley.pb.go wire/parley_vtproto.pb.go clients/js/src/wire/schema.ts; do
		diff -u "$file" "$out/$file" || { echo 'run: make generate' >&2; exit 1; }
	done
fi
