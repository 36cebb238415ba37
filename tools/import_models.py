#!/usr/bin/env python3
"""Writes models/<service>.json from the botocore package: facts only, no documentation.

    tools/import_models.py [--botocore DIR] [--query-names-from DIR] SERVICE...

--botocore            a botocore package directory (default: the one that can be imported)
--query-names-from    an older botocore in which the service still spoke the query protocol; what
                      its parameters and errors are called there is added to each shape
                      (queryName, queryError)

Our own additions stand in models/<service>.patch.json (a JSON merge patch, RFC 7396), which
tools/generate_wire.py applies; this tool never touches it. The same package gives the same file.
"""
import argparse
import gzip
import json
import pathlib
import sys

METADATA = ("apiVersion", "endpointPrefix", "jsonVersion", "protocol", "protocols", "serviceId",
            "signatureVersion", "signingName", "targetPrefix", "xmlNamespace", "awsQueryCompatible")
SHAPE = ("type", "required", "min", "max", "pattern", "enum", "flattened", "locationName", "payload",
         "timestampFormat", "sensitive", "streaming", "eventstream", "event", "union", "document",
         "exception", "fault", "box", "sparse", "xmlNamespace", "xmlOrder", "jsonvalue")
MEMBER = ("shape", "location", "locationName", "queryName", "flattened", "xmlAttribute",
          "xmlNamespace", "timestampFormat", "idempotencyToken", "jsonvalue", "streaming",
          "eventpayload", "eventheader", "hostLabel")
ERROR = ("code", "httpStatusCode", "senderFault")
OPERATION = ("http", "idempotent", "authtype", "auth", "unsignedPayload", "httpChecksum",
             "httpChecksumRequired")


def pick(source, keys):
    return {k: source[k] for k in keys if k in source}


def facts_of_shape(shape):
    out = pick(shape, SHAPE)
    if "error" in shape:
        out["error"] = pick(shape["error"], ERROR)
    if "members" in shape:
        out["members"] = {name: pick(m, MEMBER) for name, m in shape["members"].items()}
    for part in ("member", "key", "value"):
        if part in shape:
            out[part] = pick(shape[part], MEMBER)
    return out


def facts_of_operation(op):
    out = pick(op, OPERATION)
    for part in ("input", "output"):
        if part in op:
            out[part] = pick(op[part], ("shape", "locationName", "xmlNamespace", "resultWrapper",
                                        "payload"))
    if "errors" in op:
        out["errors"] = sorted(e["shape"] for e in op["errors"])
    return out


def add_query_names(shapes, old):
    """What the query protocol called things, where an older model says so."""
    for name, shape in shapes.items():
        before = old["shapes"].get(name)
        if before is None:
            continue
        if "error" in before:
            shape["queryError"] = pick(before["error"], ERROR)
        if before.get("flattened"):
            shape["flattened"] = True
        for now, then in zip(references(shape), references(before)):
            for part in now.keys() & then.keys():
                if "locationName" in then[part]:
                    now[part]["queryName"] = then[part]["locationName"]
                target = old["shapes"].get(then[part]["shape"], {})
                if then[part].get("flattened"):
                    now[part]["flattened"] = True
                # A flattened list that has no name of its own is called as its elements are.
                if target.get("flattened") and "locationName" not in then[part]:
                    name = target.get("member", {}).get("locationName")
                    if name:
                        now[part]["queryName"] = name


def references(shape):
    """The references to other shapes that a shape holds: by member, and by part."""
    return (shape.get("members", {}),
            {part: shape[part] for part in ("member", "key", "value") if part in shape})


def load(botocore, service):
    folder = pathlib.Path(botocore) / "data" / service
    versions = sorted(p for p in folder.iterdir() if p.is_dir())
    for name in ("service-2.json.gz", "service-2.json"):
        path = versions[-1] / name
        if path.exists():
            opener = gzip.open if name.endswith(".gz") else open
            with opener(path, "rt", encoding="utf-8") as f:
                return json.load(f)
    sys.exit(f"import_models: no model of {service} in {folder}")


def version_of(botocore):
    text = (pathlib.Path(botocore) / "__init__.py").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("__version__"):
            return line.split("=")[1].strip().strip("'\"")
    return "unknown"


def main():
    args = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--botocore")
    args.add_argument("--query-names-from")
    args.add_argument("--models", default=pathlib.Path(__file__).resolve().parent.parent / "models")
    args.add_argument("services", nargs="+")
    a = args.parse_args()
    if a.botocore is None:
        import botocore
        a.botocore = pathlib.Path(botocore.__file__).parent
    for service in a.services:
        model = load(a.botocore, service)
        shapes = {n: facts_of_shape(s) for n, s in model["shapes"].items()}
        if a.query_names_from:
            old = load(a.query_names_from, service)
            add_query_names(shapes, old)
            model["metadata"].setdefault("xmlNamespace", old["metadata"].get("xmlNamespace"))
        out = {
            "source": f"botocore {version_of(a.botocore)}",
            "metadata": pick(model["metadata"], METADATA),
            "operations": {n: facts_of_operation(o) for n, o in model["operations"].items()},
            "shapes": shapes,
        }
        path = pathlib.Path(a.models) / f"{service}.json"
        # Members keep the model's order: it is the order in which answers are written.
        path.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(out['operations'])} operations, {len(shapes)} shapes")


if __name__ == "__main__":
    main()
