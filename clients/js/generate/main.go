// Command generate is a plugin of protoc that writes what the TypeScript client
// knows of the protocol: an interface for each message, a constant for each value
// of an enum, and a table that its codec reads. A table costs a page a tenth of
// what a function for each message does.
//
// Counters (uint64, int64) become numbers, exact up to 2^53; fixed64, which the
// schema uses for what is random, becomes a bigint.
package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	protogen.Options{}.Run(func(p *protogen.Plugin) error {
		p.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		for _, f := range p.Files {
			if f.Generate {
				write(p.NewGeneratedFile("schema.ts", ""), f)
			}
		}
		return nil
	})
}

func write(g *protogen.GeneratedFile, f *protogen.File) {
	g.P("// Made from ", f.Desc.Path(), " by `make generate`. Do not edit.")
	g.P()
	enums, messages := collect(f)
	for _, e := range enums {
		writeEnum(g, e)
	}
	for _, m := range messages {
		writeMessage(g, m)
	}
	g.P("/** The messages, by name. */")
	g.P("export interface Messages {")
	for _, m := range messages {
		g.P("  ", name(m.Desc), ": ", name(m.Desc), ";")
	}
	g.P("}")
	g.P()
	g.P("/** The values of each enum by number, as JSON names them. */")
	g.P("export const enums: Readonly<Record<string, string>> = {")
	for _, e := range enums {
		g.P("  ", name(e.Desc), ": ", quote(values(e)), ",")
	}
	g.P("};")
	g.P()
	g.P("/** The fields of each message: number, name, and type; see codec.ts. */")
	g.P("export const messages: Readonly<Record<keyof Messages, string>> = {")
	for _, m := range messages {
		g.P("  ", name(m.Desc), ": ", quote(table(m)), ",")
	}
	g.P("};")
}

// collect finds all enums and messages, those inside of others too.
func collect(f *protogen.File) (enums []*protogen.Enum, messages []*protogen.Message) {
	enums = append(enums, f.Enums...)
	var walk func([]*protogen.Message)
	walk = func(all []*protogen.Message) {
		for _, m := range all {
			messages, enums = append(messages, m), append(enums, m.Enums...)
			walk(m.Messages)
		}
	}
	walk(f.Messages)
	return enums, messages
}

func writeEnum(g *protogen.GeneratedFile, e *protogen.Enum) {
	comment(g, "", e.Comments.Leading)
	g.P("export type ", name(e.Desc), " = number;")
	for _, v := range e.Values {
		g.P("export const ", v.Desc.Name(), " = ", v.Desc.Number(), ";")
	}
	g.P()
}

func writeMessage(g *protogen.GeneratedFile, m *protogen.Message) {
	comment(g, "", m.Comments.Leading)
	g.P("export interface ", name(m.Desc), " {")
	for _, f := range m.Fields {
		comment(g, "  ", f.Comments.Trailing)
		optional := ""
		if f.Desc.HasPresence() {
			optional = "?"
		}
		g.P("  ", f.Desc.JSONName(), optional, ": ", typeOf(f), ";")
	}
	g.P("}")
	g.P()
}

// typeOf is the type of a field in TypeScript.
func typeOf(f *protogen.Field) string {
	t := ""
	switch f.Desc.Kind() {
	case protoreflect.BoolKind:
		t = "boolean"
	case protoreflect.StringKind:
		t = "string"
	case protoreflect.BytesKind:
		t = "Uint8Array"
	case protoreflect.Fixed64Kind:
		t = "bigint"
	case protoreflect.EnumKind:
		t = name(f.Enum.Desc)
	case protoreflect.MessageKind:
		t = name(f.Message.Desc)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Int64Kind:
		t = "number"
	default:
		panic(fmt.Sprintf("%s: the client's codec knows no %v", f.Desc.FullName(), f.Desc.Kind()))
	}
	switch {
	case f.Desc.IsList():
		return t + "[]"
	case f.Desc.HasPresence():
		return t + " | undefined"
	}
	return t
}

// table writes the fields of a message as "number name type" with a comma
// between. A type is a letter, or the name of a message or of an enum; "*" before
// it says repeated, "?" says that being absent differs from the default.
func table(m *protogen.Message) string {
	var fields []string
	for _, f := range m.Fields {
		t := ""
		switch f.Desc.Kind() {
		case protoreflect.BoolKind:
			t = "b"
		case protoreflect.StringKind:
			t = "s"
		case protoreflect.BytesKind:
			t = "y"
		case protoreflect.Fixed64Kind:
			t = "f"
		case protoreflect.Uint32Kind:
			t = "u"
		case protoreflect.Uint64Kind, protoreflect.Int64Kind:
			t = "l"
		case protoreflect.EnumKind:
			t = name(f.Enum.Desc)
		default:
			t = name(f.Message.Desc)
		}
		if f.Desc.IsList() {
			t = "*" + t
		} else if f.Desc.HasPresence() {
			t = "?" + t
		}
		fields = append(fields, fmt.Sprintf("%d %s %s", f.Desc.Number(), f.Desc.JSONName(), t))
	}
	return strings.Join(fields, ",")
}

// values are the names of an enum's values, in the place of their number.
func values(e *protogen.Enum) string {
	var names []string
	for _, v := range e.Values {
		for len(names) <= int(v.Desc.Number()) {
			names = append(names, "")
		}
		names[v.Desc.Number()] = string(v.Desc.Name())
	}
	return strings.Join(names, ",")
}

// name is that of a message or an enum, with those that it stands in.
func name(d protoreflect.Descriptor) string {
	if outer, ok := d.Parent().(protoreflect.MessageDescriptor); ok {
		return name(outer) + string(d.Name())
	}
	return string(d.Name())
}

func quote(s string) string { return `"` + s + `"` }

// comment writes the schema's words above what they are about.
func comment(g *protogen.GeneratedFile, indent string, c protogen.Comments) {
	text := strings.TrimSpace(strings.ReplaceAll(string(c), "*/", "* /"))
	switch lines := strings.Split(text, "\n"); {
	case text == "":
	case len(lines) == 1:
		g.P(indent, "/** ", text, " */")
	default:
		g.P(indent, "/**")
		for _, line := range lines {
			g.P(strings.TrimRight(indent+" * "+strings.TrimSpace(line), " "))
		}
		g.P(indent, " */")
	}
}
