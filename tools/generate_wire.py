#!/usr/bin/env python3
"""Writes src/wire/gen/<service>.{h,c} from models/<service>.json and its patch.

    tools/generate_wire.py [--models DIR] [--out DIR] [SERVICE...]

Without SERVICE every model is generated. What is written depends on the models alone: no dates, no
hash order. wire/wire.h says how a shape looks in C; names follow the model in snake case.
"""
import argparse
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

C_KEYWORDS = frozenset("""auto break case char const continue default do double else enum extern float
for goto if inline int long register restrict return short signed sizeof static struct switch typedef
union unsigned void volatile while asm typeof bool true false""".split())

TYPES = {
    "structure": "STRUCTURE", "list": "LIST", "map": "MAP", "string": "STRING",
    "character": "STRING", "blob": "BLOB", "boolean": "BOOLEAN", "byte": "INTEGER",
    "short": "INTEGER", "integer": "INTEGER", "long": "LONG", "bigInteger": "STRING",
    "bigDecimal": "STRING", "float": "FLOAT", "double": "DOUBLE", "timestamp": "TIMESTAMP",
}
C_SCALARS = {
    "STRING": "struct str", "BLOB": "struct str", "DOCUMENT": "struct str", "BOOLEAN": "bool",
    "INTEGER": "int64_t", "LONG": "int64_t", "FLOAT": "double", "DOUBLE": "double",
    "TIMESTAMP": "int64_t",
}
WITH_FLAG = ("BOOLEAN", "INTEGER", "LONG", "FLOAT", "DOUBLE", "TIMESTAMP")
LOCATIONS = {"uri": "URI", "querystring": "QUERY", "header": "HEADER", "headers": "HEADERS",
             "statusCode": "STATUS"}
TIMES = {"iso8601": "ISO8601", "rfc822": "RFC822", "unixTimestamp": "UNIX"}
PROTOCOLS = {"rest-json": ["REST_JSON"], "rest-xml": ["REST_XML"], "query": ["QUERY"],
             "smithy-rpc-v2-cbor": ["RPC_V2_CBOR"]}


def snake(name):
    name = name.replace("-", "_").replace("IPv", "Ipv")
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"_+", "_", name).strip("_").lower()
    return name + "_" if name in C_KEYWORDS else name


def c_string(text):
    out = []
    for byte in text.encode("utf-8"):
        char = chr(byte)
        if char in '"\\?':
            out.append("\\" + char)
        elif 32 <= byte < 127:
            out.append(char)
        else:
            out.append(f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def merge(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out


class Strings:
    """One run of NUL-terminated strings; offset 0 is the empty one."""

    def __init__(self):
        self.offsets = {"": 0}
        self.size = 1

    def at(self, text):
        if not text:
            return 0
        if text not in self.offsets:
            self.offsets[text] = self.size
            self.size += len(text.encode("utf-8")) + 1
        return self.offsets[text]


class Service:
    def __init__(self, name, model):
        self.name = name
        self.metadata = model["metadata"]
        self.operations = dict(sorted(model["operations"].items()))
        self.model = model["shapes"]
        self.strings = Strings()
        self.order = self.reachable()
        self.index = {shape: i for i, shape in enumerate(self.order)}
        self.tags = self.choose_tags()
        self.exceptions = [s for s in self.order if self.shape(s).get("exception")]

    def reachable(self):
        """Every shape in use, by name; exceptions always, since handlers raise them at will."""
        seen = set()
        todo = [s for s, d in self.model.items() if d.get("exception")]
        for op in self.operations.values():
            todo += [op[part]["shape"] for part in ("input", "output") if part in op]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            shape = self.model[name]
            refs = list(shape.get("members", {}).values())
            refs += [shape[p] for p in ("member", "key", "value") if p in shape]
            todo += [r["shape"] for r in refs]
        return ["__nothing"] + sorted(seen)

    def shape(self, name):
        if name == "__nothing":
            return {"type": "structure", "members": {}}
        return self.model[name]

    def kind(self, name):
        shape = self.shape(name)
        if shape.get("document"):
            return "DOCUMENT"
        return TYPES[shape["type"]]

    def choose_tags(self):
        """What each structure, list and map is called in C. A structure that is only one
        operation's input or output is called after the operation."""
        uses = {}
        for op_name, op in self.operations.items():
            for part, suffix in (("input", "in"), ("output", "out")):
                if part in op:
                    uses.setdefault(op[part]["shape"], []).append(f"{snake(op_name)}_{suffix}")
        nested = set()
        for shape in self.model.values():
            refs = list(shape.get("members", {}).values())
            refs += [shape[p] for p in ("member", "key", "value") if p in shape]
            nested.update(r["shape"] for r in refs)
        tags, taken = {}, set()
        for shape in self.order[1:]:
            own = uses.get(shape, [])
            tag = own[0] if len(own) == 1 and shape not in nested else snake(shape)
            while tag in taken:
                tag += "_"
            taken.add(tag)
            tags[shape] = f"{self.name}_{tag}"
        tags["__nothing"] = f"{self.name}_nothing"
        return tags

    def in_place(self, name, sparse=False):
        """The C type of an element or value that stands in place."""
        kind = self.kind(name)
        c = C_SCALARS.get(kind, f"struct {self.tags[name]}")
        if sparse and c != "struct str":
            return c + " *"
        return c + " "

    def query_flat(self, ref):
        return ref.get("flattened") or self.shape(ref["shape"]).get("flattened")


def flags(pairs):
    on = [f"WIRE_{name}" for name, value in pairs if value]
    return " | ".join(on) if on else "0"


def xml_space(source):
    space = source.get("xmlNamespace") or {}
    if isinstance(space, str):
        return space, ""
    return space.get("uri", ""), space.get("prefix", "")


def member_row(s, name, ref, offset, has, required):
    target = s.shape(ref["shape"])
    location = LOCATIONS.get(ref.get("location"), "BODY")
    wire_name = ref.get("locationName", name)
    uri, prefix = xml_space(ref)
    on = flags([
        ("REQUIRED", required),
        ("TOKEN", ref.get("idempotencyToken")),
        ("FLATTENED", s.query_flat(ref)),
        ("XML_ATTRIBUTE", ref.get("xmlAttribute")),
        ("SENSITIVE", target.get("sensitive")),
        ("JSON_VALUE", ref.get("jsonvalue")),
        ("EVENT_HEADER", ref.get("eventheader")),
        ("EVENT_PAYLOAD", ref.get("eventpayload")),
    ])
    time = TIMES.get(ref.get("timestampFormat"), "DEFAULT")
    at = s.strings.at
    return (f"    /* {name} */ {{{at(name)}, {at(wire_name)}, {at(ref.get('queryName', ''))}, "
            f"{at(uri)}, {at(prefix)}, {offset}, {has}, {s.index[ref['shape']]}, {on}, "
            f"WIRE_IN_{location}, WIRE_TIME_{time}}},")


def field_names(members):
    """C names of a structure's members, clashes resolved by a trailing underscore."""
    out, taken = {}, set()
    for name in members:
        field = snake(name)
        while field in taken:
            field += "_"
        taken.update((field, "has_" + field))
        out[name] = field
    return out


def emit_structure(s, name):
    shape = s.shape(name)
    lines = [f"struct {s.tags[name]} {{"]
    fields = field_names(shape["members"])
    for member, ref in shape["members"].items():
        kind, field = s.kind(ref["shape"]), fields[member]
        if kind == "STRUCTURE":
            lines.append(f"    struct {s.tags[ref['shape']]} *{field};")
        else:
            lines.append(f"    {s.in_place(ref['shape'])}{field};")
            if kind in WITH_FLAG:
                lines.append(f"    bool has_{field};")
    if not shape["members"]:
        lines.append("    char none; // the model has no members here")
    lines.append("};")
    return lines


def emit_header(s):
    upper = s.name.upper()
    guard = f"LAMBKIN_WIRE_GEN_{upper}_H"
    out = [f"// {s.name}.h - generated by tools/generate_wire.py from models/{s.name}.json: do not edit.",
           f"#ifndef {guard}", f"#define {guard}", "", '#include "wire/wire.h"', "",
           f"extern const struct wire_service wire_{s.name};", ""]
    out.append(f"enum {s.name}_op {{")
    out += [f"    {upper}_OP_{snake(op).upper()}," for op in s.operations]
    out += [f"    {upper}_OPS,", "};", ""]
    structures = [n for n in s.order if s.kind(n) == "STRUCTURE"]
    lists = [n for n in s.order if s.kind(n) == "LIST"]
    maps = [n for n in s.order if s.kind(n) == "MAP"]
    out.append(f"enum {s.name}_shape {{")
    out += [f"    {upper}_SHAPE_{snake(n).upper()} = {s.index[n]}," for n in structures[1:]]
    out += ["};", ""]
    for shape in s.exceptions:
        out.append(f"extern const struct aws_error {upper}_{snake(shape).upper()};")
    out.append("")
    out += [f"struct {s.tags[n]};" for n in structures]
    out += [f"struct {s.tags[n]}_entry;" for n in maps]
    out.append("")
    for n in lists:
        shape = s.shape(n)
        element = s.in_place(shape["member"]["shape"], shape.get("sparse"))
        out += [f"struct {s.tags[n]} {{", f"    {element}*ptr;", "    size_t n;", "};"]
    for n in maps:
        out += [f"struct {s.tags[n]} {{", f"    struct {s.tags[n]}_entry *ptr;", "    size_t n;", "};"]
    for n in structures:
        out += emit_structure(s, n)
    for n in maps:
        shape = s.shape(n)
        value = s.in_place(shape["value"]["shape"], shape.get("sparse"))
        out += [f"struct {s.tags[n]}_entry {{", "    struct str key;", f"    {value}value;", "};"]
    out.append("")
    for op_name, op in s.operations.items():
        for part, suffix in (("input", "in"), ("output", "out")):
            alias = f"{s.name}_{snake(op_name)}_{suffix}"
            tag = s.tags[op[part]["shape"]] if part in op else s.tags["__nothing"]
            if alias != tag:
                out.append(f"#define {alias} {tag}")
    out += ["", "#endif", ""]
    return "\n".join(out)


def emit_operations_header(s):
    """Prototypes of all handlers, for services that want theirs checked."""
    guard = f"LAMBKIN_WIRE_GEN_{s.name.upper()}_HANDLERS_H"
    out = [f"// {s.name}_handlers.h - generated by tools/generate_wire.py: do not edit.",
           f"#ifndef {guard}", f"#define {guard}", "", f'#include "wire/gen/{s.name}.h"', "",
           "struct call;", ""]
    for op_name in s.operations:
        name = f"{s.name}_{snake(op_name)}"
        out += [f"int {name}(struct call *c, const struct {name}_in *in, struct {name}_out *out,",
                f"    {' ' * len(name)}struct err *err);"]
    out += ["", "#endif", ""]
    return "\n".join(out)


class Tables:
    def __init__(self):
        self.members, self.shapes, self.enums, self.patterns = [], [], [], []
        self.n_members = 0


def shape_row(s, t, name):
    shape, kind, at = s.shape(name), s.kind(name), s.strings.at
    first = t.n_members
    payload = 0
    size = f"sizeof({C_SCALARS.get(kind, 'struct ' + s.tags.get(name, ''))})"
    element = "0"
    tag = s.tags[name]
    if kind == "STRUCTURE":
        required = set(shape.get("required", ()))
        fields = field_names(shape["members"])
        for i, (member, ref) in enumerate(shape["members"].items()):
            field = f"offsetof(struct {tag}, {fields[member]})"
            has = (f"offsetof(struct {tag}, has_{fields[member]})"
                   if s.kind(ref["shape"]) in WITH_FLAG else "0")
            t.members.append(member_row(s, member, ref, field, has, member in required))
            if shape.get("payload") == member:
                payload = i + 1
        count = len(shape["members"])
    elif kind == "LIST":
        t.members.append(member_row(s, "member", shape["member"], 0, 0, False))
        value = s.in_place(shape["member"]["shape"], shape.get("sparse")).rstrip()
        element, count = f"sizeof({value})", 1
    elif kind == "MAP":
        entry = f"struct {tag}_entry"
        t.members.append(member_row(s, "key", shape["key"], f"offsetof({entry}, key)", 0, True))
        t.members.append(member_row(s, "value", shape["value"], f"offsetof({entry}, value)", 0, False))
        element, count = f"sizeof({entry})", 2
    else:
        count = 0
    t.n_members += count
    first_enum = len(t.enums)
    t.enums += [at(e) for e in shape.get("enum", ())]
    pattern = 0
    if shape.get("pattern"):
        t.patterns.append(at(shape["pattern"]))
        pattern = len(t.patterns)
    uri, prefix = xml_space(shape)
    big = shape["type"] in ("bigInteger", "bigDecimal")
    limits = kind not in ("STRUCTURE", "BOOLEAN", "TIMESTAMP", "DOCUMENT")
    on = flags([
        ("FLATTENED", shape.get("flattened")), ("SENSITIVE", shape.get("sensitive")),
        ("UNION", shape.get("union")), ("SPARSE", shape.get("sparse")),
        ("HAS_MIN", limits and "min" in shape), ("HAS_MAX", limits and "max" in shape),
        ("STREAMING", shape.get("streaming")), ("EVENT_STREAM", shape.get("eventstream")),
        ("EXCEPTION", shape.get("exception")), ("BIG_NUMBER", big),
    ])
    time = TIMES.get(shape.get("timestampFormat"), "DEFAULT")
    label = "" if name == "__nothing" else name
    low = int(shape.get("min", 0)) if limits else 0
    high = int(shape.get("max", 0)) if limits else 0
    t.shapes.append(
        f"    /* {s.index[name]} {label} */ {{{low}, {high}, {at(label)}, "
        f"{at(s.top_names.get(name, shape.get('locationName', '')))}, {at(uri)}, {at(prefix)}, "
        f"{size}, {element}, {first}, {count}, {payload}, {first_enum}, "
        f"{len(shape.get('enum', ()))}, {pattern}, {on}, WIRE_{kind}, WIRE_TIME_{time}}},")


def error_row(s, shape):
    d = s.shape(shape)
    error = d.get("error", {})
    query = d.get("queryError", {})
    code = error.get("code") or shape
    if s.metadata.get("awsQueryCompatible") is not None and "error" in d and "queryError" not in d:
        query, code = error, shape
    fault = d.get("fault", False)
    status = 500 if fault else 400
    if s.metadata.get("awsQueryCompatible") is None:
        # Elsewhere the model's status belongs to the older protocol.
        status = error.get("httpStatusCode") or status
    fault = fault or status >= 500
    client = error.get("senderFault", query.get("senderFault", not fault))
    query_code = query.get("code")
    older = c_string(query_code) if query_code and query_code != code else "NULL"
    const = f"{s.name.upper()}_{snake(shape).upper()}"
    return (f"const struct aws_error {const} = {{{c_string(code)}, {older}, {status}, "
            f"{'true' if client else 'false'}}};")


def protocol_bits(metadata):
    bits = []
    for p in metadata.get("protocols") or [metadata["protocol"]]:
        if p == "json":
            # Clients of either version get the one they speak.
            bits += ["JSON_1_0", "JSON_1_1"]
        else:
            bits += PROTOCOLS[p]
    return " | ".join(f"1u << WIRE_{b}" for b in bits)


def c_or_null(text):
    return c_string(text) if text else "NULL"


def operation_rows(s):
    lists, rows = [], []
    position = {e: i for i, e in enumerate(s.exceptions)}
    for i, (name, op) in enumerate(s.operations.items()):
        errors = [position[e] for e in op.get("errors", ()) if e in position]
        pointer = "NULL"
        if errors:
            pointer = f"errors_{i}"
            lists.append(f"static const uint16_t errors_{i}[] = {{{', '.join(map(str, errors))}}};")
        shapes = {part: op[part]["shape"] if part in op else "__nothing" for part in ("input", "output")}

        def streams(part):
            d = s.shape(shapes[part])
            payload = d.get("members", {}).get(d.get("payload"))
            return payload is not None and bool(
                payload.get("streaming") or s.shape(payload["shape"]).get("streaming"))

        event_stream = any(s.shape(m["shape"]).get("eventstream")
                           for m in s.shape(shapes["output"]).get("members", {}).values())
        no_auth = op.get("authtype") == "none" or op.get("auth") == ["smithy.api#noAuth"]
        checksum = op.get("httpChecksumRequired") or op.get("httpChecksum", {}).get("requestChecksumRequired")
        on = flags([("OP_NO_AUTH", no_auth), ("OP_EVENT_STREAM", event_stream),
                    ("OP_STREAM_IN", streams("input")), ("OP_STREAM_OUT", streams("output")),
                    ("OP_CHECKSUM", checksum), ("OP_NO_INPUT", "input" not in op),
                    ("OP_NO_OUTPUT", "output" not in op)])
        http = op.get("http", {})
        wrapper = op.get("output", {}).get("resultWrapper")
        if wrapper is None and "query" in (s.metadata.get("protocols") or ()) and "output" in op:
            wrapper = name + "Result"
        rows.append(
            f"    {{&wire_{s.name}, {c_string(name)}, {c_string(http.get('method', 'POST'))}, "
            f"{c_string(http.get('requestUri', '/'))}, {c_or_null(wrapper)}, {pointer}, {len(errors)}, "
            f"{i}, {s.index[shapes['input']]}, {s.index[shapes['output']]}, "
            f"{http.get('responseCode', 200)}, {on}}},")
    return lists, rows


def emit_source(s):
    t = Tables()
    s.top_names = {}
    for op in s.operations.values():
        for part in ("input", "output"):
            if "locationName" in op.get(part, {}):
                s.top_names[op[part]["shape"]] = op[part]["locationName"]
    for name in s.order:
        shape_row(s, t, name)
    if t.n_members > 65535 or len(t.enums) > 65535:
        sys.exit(f"generate_wire: {s.name} is too large for 16-bit indexes")
    upper, m = s.name.upper(), s.metadata
    lists, rows = operation_rows(s)
    validation = m.get("validationError")
    if validation in s.index:
        validation = f"{upper}_{snake(validation).upper()}"
    elif validation == "ValidationException" or m["protocol"] != "query":
        validation = "WIRE_VALIDATION_EXCEPTION"
    else:
        validation = "WIRE_VALIDATION_ERROR"
    missing = m.get("missingError")
    missing = f"&{upper}_{snake(missing).upper()}" if missing else "NULL"
    space = xml_space(m)[0]
    out = [f"// {s.name}.c - generated by tools/generate_wire.py from models/{s.name}.json: do not edit.",
           f'#include "wire/gen/{s.name}.h"', "", "#include <stddef.h>", ""]
    out += [error_row(s, e) for e in s.exceptions]
    out += ["", "static const struct aws_error *const errors[] = {"]
    out += [f"    &{upper}_{snake(e).upper()}," for e in s.exceptions] or ["    NULL,"]
    out += ["};", "", "static const uint16_t error_shapes[] = {"]
    out.append("    " + ", ".join(str(s.index[e]) for e in s.exceptions or ["__nothing"]) + ",")
    out += ["};", ""] + lists + ["", "static const struct wire_operation operations[] = {"] + rows
    out += ["};", "", "static const struct wire_shape shapes[] = {"] + t.shapes
    out += ["};", "", "static const struct wire_member members[] = {"] + t.members
    out += ["};", "", "static const uint32_t enums[] = {"]
    enums = t.enums or [0]
    out += ["    " + ", ".join(map(str, enums[i:i + 16])) + "," for i in range(0, len(enums), 16)]
    patterns = t.patterns or [0]
    out += ["};", "", "static const uint32_t patterns[] = {"]
    out += ["    " + ", ".join(map(str, patterns[i:i + 16])) + "," for i in range(0, len(patterns), 16)]
    out += ["};", "", f"static void *compiled[{len(patterns)}];", "", 'static const char strings[] =', '    "\\0"']
    out += [f"    {c_string(text)} \"\\0\"" for text in s.strings.offsets if text]
    out[-1] += ";"
    out += ["", f"const struct wire_service wire_{s.name} = {{",
            f'    .name = "{s.name}",',
            f"    .signing_name = {c_string(m.get('signingName', m['endpointPrefix']))},",
            f"    .endpoint_prefix = {c_string(m['endpointPrefix'])},",
            f"    .api_version = {c_string(m['apiVersion'])},",
            f"    .target_prefix = {c_or_null(m.get('targetPrefix'))},",
            f"    .xml_namespace = {c_or_null(space)},",
            f"    .service_id = {c_string(m.get('serviceId', s.name))},",
            f"    .protocols = {protocol_bits(m)},",
            f"    .query_compatible = {'true' if m.get('awsQueryCompatible') is not None else 'false'},",
            f"    .type_in_body = {'true' if m.get('typeInBody') else 'false'},",
            f"    .validation = &{validation},",
            f"    .missing = {missing},",
            "    .operations = operations,", f"    .n_operations = {len(rows)},",
            "    .errors = errors,", "    .error_shapes = error_shapes,",
            f"    .n_errors = {len(s.exceptions)},",
            "    .shapes = shapes,", f"    .n_shapes = {len(t.shapes)},", "    .members = members,",
            "    .enums = enums,", "    .patterns = patterns,", "    .compiled = compiled,",
            f"    .n_patterns = {len(t.patterns)},", "    .strings = strings,", "};", ""]
    return "\n".join(out)


def main():
    args = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--models", type=pathlib.Path, default=ROOT / "models")
    args.add_argument("--out", type=pathlib.Path, default=ROOT / "src" / "wire" / "gen")
    args.add_argument("services", nargs="*")
    a = args.parse_args()
    names = a.services or sorted(p.stem for p in a.models.glob("*.json") if not p.stem.endswith(".patch"))
    a.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        model = json.loads((a.models / f"{name}.json").read_text(encoding="utf-8"))
        patch = a.models / f"{name}.patch.json"
        if patch.exists():
            model = merge(model, json.loads(patch.read_text(encoding="utf-8")))
        service = Service(name, model)
        source = emit_source(service)
        (a.out / f"{name}.h").write_text(emit_header(service), encoding="utf-8")
        (a.out / f"{name}_handlers.h").write_text(emit_operations_header(service), encoding="utf-8")
        (a.out / f"{name}.c").write_text(source, encoding="utf-8")


if __name__ == "__main__":
    main()
