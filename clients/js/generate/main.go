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
	t := tables{enums: make(map[protoreflect.FullName]int), messages: make(map[protoreflect.FullName]int)}
	g.P("/** The values of each enum by number, as JSON names them. */")
	g.P("export const enums: readonly string[] = [")
	for i, e := range enums {
		t.enums[e.Desc.FullName()] = i
		g.P("  ", quote(values(e)), ", // ", i, " ", name(e.Desc))
	}
	g.P("];")
	for i, e := range enums {
		g.P("export const ", strings.ToUpper(name(e.Desc)), " = ", i, ";")
	}
	g.P()
	inner := make(map[protoreflect.FullName]bool) // messages that stand in others
	for i, m := range messages {
		t.messages[m.Desc.FullName()] = i
		for _, f := range m.Fields {
			if f.Message != nil {
				inner[f.Message.Desc.FullName()] = true
			}
		}
	}
	g.P("/** The fields of each message; see codec.ts. */")
	g.P("export const messages: readonly string[] = [")
	for i, m := range messages {
		g.P("  ", quote(t.fields(m)), ", // ", i, " ", name(m.Desc))
	}
	g.P("];")
	g.P()
	g.P("/** The messages that stand in no other, by their place above. */")
	g.P("export const roots = {")
	for i, m := range messages {
		if !inner[m.Desc.FullName()] {
			g.P("  ", name(m.Desc), ": ", i, ",")
		}
	}
	g.P("} as const;")
	g.P()
	g.P("export interface Roots {")
	for _, m := range messages {
		if !inner[m.Desc.FullName()] {
			g.P("  ", name(m.Desc), ": ", name(m.Desc), ";")
		}
	}
	g.P("}")
}

// tables are the places of enums and messages in what is written.
type tables struct{ enums, messages map[protoreflect.FullName]int }

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

// fields writes the fields of a message as "name type" with a comma between, and
// the number in front where it is not that of the field before and one more. A
// type is a letter, or "m" or "e" and the place of the message or enum; "*" before
// it says repeated, "?" says that being absent differs from the default.
func (t tables) fields(m *protogen.Message) string {
	var all []string
	expected := protoreflect.FieldNumber(1)
	for _, f := range m.Fields {
		field := f.Desc.JSONName() + " "
		if f.Desc.Number() != expected {
			field = fmt.Sprint(f.Desc.Number(), " ", field)
		}
		expected = f.Desc.Number() + 1
		if f.Desc.IsList() {
			field += "*"
		} else if f.Desc.HasPresence() {
			field += "?"
		}
		switch f.Desc.Kind() {
		case protoreflect.BoolKind:
			field += "b"
		case protoreflect.StringKind:
			field += "s"
		case protoreflect.BytesKind:
			field += "y"
		case protoreflect.Fixed64Kind:
			field += "f"
		case protoreflect.Uint32Kind:
			field += "u"
		case protoreflect.Uint64Kind, protoreflect.Int64Kind:
			field += "l"
		case protoreflect.EnumKind:
			field += fmt.Sprint("e", t.enums[f.Enum.Desc.FullName()])
		default:
			field += fmt.Sprint("m", t.messages[f.Message.Desc.FullName()])
		}
		all = append(all, field)
	}
	return strings.Join(all, ",")
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
