"""Bad packages and layers through boto3: AWS's errors, and nothing left behind."""

import os
import stat
import struct
import urllib.request
import zipfile
from io import BytesIO

import pytest

from harness import ROLE, build_zip, unique_name
from test_lambda_functions import refused

HANDLER = "def handler(e, c): return 'ok'\n"


def create(lam, package, **more):
    return lam.create_function(FunctionName=unique_name(), Runtime="python3.11", Role=ROLE,
                               Handler="app.handler", Code={"ZipFile": package}, **more)


def raw_zip(entries):
    """Entries are (name, mode, content)."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, mode, content in entries:
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.create_system = 3
            info.external_attr = mode << 16
            z.writestr(info, content)
    return out.getvalue()


@pytest.mark.parametrize("name, entries", [
    ("parent", [("../evil", stat.S_IFREG | 0o644, "x")]),
    ("deep parent", [("a/b/../../../evil", stat.S_IFREG | 0o644, "x")]),
    ("absolute", [("/tmp/lambkin-evil", stat.S_IFREG | 0o644, "x")]),
    ("link out", [("l", stat.S_IFLNK | 0o777, "/etc/passwd")]),
    ("link up", [("l", stat.S_IFLNK | 0o777, "../../x")]),
    ("through a link", [("d/", stat.S_IFDIR | 0o755, ""), ("l", stat.S_IFLNK | 0o777, "d"),
                        ("l/f", stat.S_IFREG | 0o644, "x")]),
    ("device", [("dev", stat.S_IFCHR | 0o666, "")]),
    ("socket", [("sock", stat.S_IFSOCK | 0o666, "")]),
])
def test_hostile_zips(daemon, lam, name, entries):
    code = os.path.join(daemon.data_dir, "code")
    before = set(os.listdir(code))
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, raw_zip([("app.py", stat.S_IFREG | 0o644, HANDLER)] + entries))
    assert "Could not unzip uploaded file" in e.message
    assert not os.path.exists("/tmp/lambkin-evil")
    assert {n for n in os.listdir(code) if n.startswith(".tmp")} == set()
    assert set(os.listdir(code)) == before


@pytest.mark.parametrize("package, words", [
    (b"no zip at all", "Could not unzip"),
    (b"PK\x03\x04", "Could not unzip"),
    (b"\x1f\x8b\x08\x00", "Could not unzip"),
    (build_zip({"app.py": HANDLER})[:-30], "Could not unzip"),
    (build_zip({}), "non-empty zip"),
])
def test_no_zip(lam, package, words):
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, package)
    assert words in e.message


def test_damaged_content(lam):
    package = bytearray(raw_zip([("app.py", stat.S_IFREG | 0o644, "x" * 100)]))
    package[60] ^= 0xff
    with refused("InvalidParameterValueException", 400):
        create(lam, bytes(package))


def test_bomb(lam):
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        z.writestr("app.py", HANDLER)
        block = b"\0" * (16 << 20)
        for i in range(16):  # 256 MiB in a quarter of one
            z.writestr("zeros%d" % i, block)
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, out.getvalue())
    assert e.message == "Unzipped size must be smaller than 262144000 bytes"


def test_lying_sizes(lam):
    package = bytearray(raw_zip([("app.py", stat.S_IFREG | 0o644, HANDLER)]))
    at = package.rindex(b"PK\x01\x02")
    struct.pack_into("<I", package, at + 24, 0x7fffffff)  # uncompressed size in the directory
    try:
        r = create(lam, bytes(package))
    except lam.exceptions.InvalidParameterValueException:
        return
    # Taken by what it holds, not by what it says.
    answer = lam.invoke(FunctionName=r["FunctionName"], Payload=b"{}")
    assert answer["Payload"].read() == b'"ok"'
    lam.delete_function(FunctionName=r["FunctionName"])


def test_too_big_to_send(lam):
    with refused("RequestEntityTooLargeException", 413):
        create(lam, b"PK\x03\x04" + b"\0" * (50 << 20))


def test_modes_and_links_work(make_function):
    package = {"app.py": "import os, data.inner\n"
                         "def handler(e, c):\n"
                         "    return [data.inner.X, os.access('/var/task/run.sh', os.X_OK),\n"
                         "            os.access('/var/task', os.W_OK)]\n",
               "data/inner.py": "X = 5\n", "run.sh": "#!/bin/sh\n"}
    f = make_function("python", files=package)
    got = f.call()
    assert got[0] == 5 and got[2] is False
    f.lam.update_function_code(FunctionName=f.name, ZipFile=raw_zip([
        ("real.py", stat.S_IFREG | 0o600, "def handler(e, c): return 'by link'\n"),
        ("app.py", stat.S_IFLNK | 0o777, "real.py"),
        ("deep/a/b/c.txt", stat.S_IFREG | 0o600, "x")]))
    f.wait_active()
    assert f.call() == "by link"


def test_unicode_names(make_function):
    f = make_function("python", files={
        "app.py": "def handler(e, c): return open('/var/task/gr\u00fc\u00df \u6f22.txt').read()\n",
        "gr\u00fc\u00df \u6f22.txt": "hello"})
    assert f.call() == "hello"


def test_python_is_compiled_at_deployment(daemon, make_function):
    f = make_function("python", files={
        "app.py": "import broken_later, helper\ndef handler(e, c): return helper.where()\n",
        "helper.py": "def where(): return where.__code__.co_filename\n",
        "broken_later.py": "X = 1\n", "never_imported.py": "this is no python\n"})
    assert f.call() == "/var/task/helper.py"
    if "to bytecode" in daemon.log_text():
        pytest.skip("the daemon's user may not run this interpreter")
    caches = [top for top, _, files in os.walk(os.path.join(daemon.data_dir, "code"))
              if any(n.startswith("helper.cpython-") for n in files)]
    assert caches


# ---- layers ----

@pytest.fixture
def layer(lam):
    name = unique_name("layer")
    made = []

    def publish(files, **more):
        r = lam.publish_layer_version(LayerName=name, Content={"ZipFile": build_zip(files)}, **more)
        made.append(r["Version"])
        return r

    publish.name_of_layer = name
    yield publish
    for version in made:
        lam.delete_layer_version(LayerName=name, VersionNumber=version)


def test_layers(lam, make_function, layer):
    one = layer({"python/shared.py": "X = 1\n", "only1": "a"}, Description="first",
                CompatibleRuntimes=["python3.11"], LicenseInfo="MIT")
    assert one["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert one["Version"] == 1
    name = layer.name_of_layer
    assert one["LayerVersionArn"].endswith(":layer:%s:1" % name)
    two = layer({"python/shared.py": "X = 2\n"}, CompatibleRuntimes=["nodejs20.x"])
    got = lam.get_layer_version(LayerName=name, VersionNumber=1)
    assert got["Description"] == "first" and got["LicenseInfo"] == "MIT"
    with urllib.request.urlopen(got["Content"]["Location"], timeout=30) as r:
        assert "only1" in zipfile.ZipFile(BytesIO(r.read())).namelist()
    by_arn = lam.get_layer_version_by_arn(Arn=two["LayerVersionArn"])
    assert by_arn["Version"] == 2
    versions = lam.list_layer_versions(LayerName=name)["LayerVersions"]
    assert [v["Version"] for v in versions] == [2, 1]
    versions = lam.list_layer_versions(LayerName=name, MaxItems=1)
    assert [v["Version"] for v in versions["LayerVersions"]] == [2]
    versions = lam.list_layer_versions(LayerName=name, Marker=versions["NextMarker"])
    assert [v["Version"] for v in versions["LayerVersions"]] == [1]
    mine = [x for p in lam.get_paginator("list_layers").paginate() for x in p["Layers"]
            if x["LayerName"] == name]
    assert mine[0]["LatestMatchingVersion"]["Version"] == 2
    only = [x for x in lam.list_layers(CompatibleRuntime="python3.11")["Layers"]
            if x["LayerName"] == name]
    assert only[0]["LatestMatchingVersion"]["Version"] == 1

    f = make_function("python", """
import os, shared
def handler(event, context):
    return [shared.X, sorted(os.listdir("/opt")), shared.__file__]
""", Layers=[one["LayerVersionArn"]])
    assert f.call() == [1, ["only1", "python"], "/opt/python/shared.py"]
    c = lam.get_function_configuration(FunctionName=f.name)
    assert [x["Arn"] for x in c["Layers"]] == [one["LayerVersionArn"]]
    lam.update_function_configuration(FunctionName=f.name, Layers=[two["LayerVersionArn"]])
    f.wait_active()
    assert f.call()[0] == 2

    # Two versions of one layer, too many layers, foreign and missing ones.
    with refused("InvalidParameterValueException", 400):
        lam.update_function_configuration(
            FunctionName=f.name, Layers=[one["LayerVersionArn"], two["LayerVersionArn"]])
    with refused("InvalidParameterValueException", 400):
        lam.update_function_configuration(FunctionName=f.name,
                                          Layers=[two["LayerVersionArn"]] * 6)
    for bad in ("nonsense", two["LayerArn"], two["LayerVersionArn"] + "9"):
        with pytest.raises(lam.exceptions.ClientError) as e:
            lam.update_function_configuration(FunctionName=f.name, Layers=[bad])
        assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    # A deleted version works on for its holder and for nobody else.
    lam.delete_layer_version(LayerName=name, VersionNumber=2)
    with refused("ResourceNotFoundException", 404):
        lam.get_layer_version(LayerName=name, VersionNumber=2)
    assert f.call()[0] == 2
    lam.update_function_configuration(FunctionName=f.name, Timeout=20)
    f.wait_active()
    assert f.call()[0] == 2
    with refused("InvalidParameterValueException", 400):
        lam.update_function_configuration(FunctionName=f.name, Layers=[two["LayerVersionArn"]])
    assert layer({"python/shared.py": "X = 3\n"})["Version"] == 3


def test_merged_in_order(make_function, lam):
    arns = []
    for i in range(3):
        r = lam.publish_layer_version(
            LayerName=unique_name("merge"),
            Content={"ZipFile": build_zip({"who": "layer %d" % i, "own%d" % i: "x"})})
        arns.append(r["LayerVersionArn"])
    f = make_function("python", """
import os
def handler(event, context):
    return [open("/opt/who").read(), sorted(os.listdir("/opt"))]
""", Layers=arns)
    assert f.call() == ["layer 2", ["own0", "own1", "own2", "who"]]
    for arn in arns:
        lam.delete_layer_version(LayerName=arn.rsplit(":", 1)[0],
                                 VersionNumber=int(arn.rsplit(":", 1)[1]))


def test_layer_permissions(lam, layer):
    layer({"x": "y"})
    name = layer.name_of_layer
    with refused("ResourceNotFoundException", 404):
        lam.get_layer_version_policy(LayerName=name, VersionNumber=1)
    lam.add_layer_version_permission(LayerName=name, VersionNumber=1, StatementId="all",
                                     Action="lambda:GetLayerVersion", Principal="*")
    with refused("ResourceConflictException", 409):
        lam.add_layer_version_permission(LayerName=name, VersionNumber=1, StatementId="all",
                                         Action="lambda:GetLayerVersion", Principal="*")
    assert '"Sid":"all"' in lam.get_layer_version_policy(LayerName=name, VersionNumber=1)["Policy"]
    lam.remove_layer_version_permission(LayerName=name, VersionNumber=1, StatementId="all")
    with refused("ResourceNotFoundException", 404):
        lam.get_layer_version_policy(LayerName=name, VersionNumber=1)


def test_bad_layers(lam):
    with refused("InvalidParameterValueException", 400):
        lam.publish_layer_version(LayerName=unique_name(), Content={"ZipFile": b"junk"})
    with refused("ResourceNotFoundException", 404):
        lam.get_layer_version(LayerName="no-such-layer", VersionNumber=1)
    with refused("ValidationException", 400):
        lam.publish_layer_version(LayerName="a b", Content={"ZipFile": build_zip({"x": "y"})})
