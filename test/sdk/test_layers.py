"""Several layers at /opt: merged once at deployment, in order, whatever they hold; and gone with
the functions that hold them."""

import os
import stat
import threading

import pytest

from harness import ROLE, Function, build_zip, make_function, unique_name, wait_until
from test_lambda_functions import refused
from test_lambda_packages import raw_zip

WALK = """
import os, stat
def handler(event, context):
    tree = {}
    for folder, folders, files in os.walk("/opt"):
        for name in folders + files:
            path = os.path.join(folder, name)
            s = os.lstat(path)
            what = (os.readlink(path) if stat.S_ISLNK(s.st_mode) else
                    "folder" if stat.S_ISDIR(s.st_mode) else open(path).read())
            tree[path[5:]] = [what, stat.S_IMODE(s.st_mode)]
    return tree
"""
FILE, LINK, FOLDER = stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR


@pytest.fixture
def publish():
    made = []

    def factory(lam, package):
        if isinstance(package, dict):
            package = build_zip(package)
        r = lam.publish_layer_version(LayerName=unique_name("layer"), Content={"ZipFile": package})
        made.append((lam, r["LayerVersionArn"]))
        return r["LayerVersionArn"]

    yield factory
    for lam, arn in made:
        try:
            forget(lam, arn)
        except Exception:  # its daemon has gone
            pass


def forget(lam, arn):
    name, version = arn.rsplit(":", 1)
    lam.delete_layer_version(LayerName=name, VersionNumber=int(version))


def trees(daemon):
    return {n for n in os.listdir(os.path.join(daemon.data_dir, "code")) if not n.endswith(".zip")}


def test_collisions(lam, make_function, publish):
    """Every kind over every other: the later layer's entry counts, and two folders are united."""
    low = publish(lam, raw_zip([
        ("both", FILE | 0o644, "low"), ("only-low", FILE | 0o755, "low"),
        ("file-folder", FILE | 0o644, "low"), ("folder-file/deep/x", FILE | 0o644, "low"),
        ("folder-link/x", FILE | 0o644, "low"), ("link-folder", LINK | 0o777, "united"),
        ("link-file", LINK | 0o777, "both"), ("file-link", FILE | 0o644, "low"),
        ("united/low", FILE | 0o644, "low"), ("united/both", FILE | 0o644, "low"),
        ("kept-link", LINK | 0o777, "united/low")]))
    high = publish(lam, raw_zip([
        ("both", FILE | 0o755, "high"), ("file-folder/x", FILE | 0o644, "high"),
        ("folder-file", FILE | 0o644, "high"), ("folder-link", LINK | 0o777, "united"),
        ("link-folder/y", FILE | 0o644, "high"), ("link-file", FILE | 0o644, "high"),
        ("file-link", LINK | 0o777, "both"), ("united/high", FILE | 0o644, "high"),
        ("united/both", FILE | 0o644, "high"), (".wh.both", FILE | 0o644, "no whiteout")]))
    f = make_function("python", WALK, Layers=[low, high])
    folder = ["folder", 0o755]
    want = {
        "both": ["high", 0o755], "only-low": ["low", 0o755], "file-folder": folder,
        "file-folder/x": ["high", 0o644], "folder-file": ["high", 0o644],
        "folder-link": ["united", 0o777], "link-folder": folder,
        "link-folder/y": ["high", 0o644], "link-file": ["high", 0o644],
        "file-link": ["both", 0o777], "united": folder, "united/low": ["low", 0o644],
        "united/high": ["high", 0o644], "united/both": ["high", 0o644],
        "kept-link": ["united/low", 0o777], ".wh.both": ["no whiteout", 0o644]}
    assert f.call() == want
    # The other order is another tree.
    lam.update_function_configuration(FunctionName=f.name, Layers=[high, low])
    got = f.wait_active().call()
    assert got["both"] == ["low", 0o644] and got["folder-link/x"] == ["low", 0o644]
    assert got["link-folder"] == ["united", 0o777] and "link-folder/y" not in got
    # One alone, and none.
    lam.update_function_configuration(FunctionName=f.name, Layers=[low])
    assert f.wait_active().call()["both"] == ["low", 0o644]
    lam.update_function_configuration(FunctionName=f.name, Layers=[])
    assert f.wait_active().call() == {}


def test_bytecode_of_a_hidden_source_is_not_used(lam, make_function, publish):
    """One layer was compiled alone, for a function of its own, before they were merged."""
    low = publish(lam, {"python/shared.py": "WHO = 'low'\n", "python/low.py": "X = 1\n"})
    high = publish(lam, {"python/shared.py": "WHO = 'high'\n"})
    source = "import shared\ndef handler(e, c):\n    return [shared.WHO, shared.__cached__]\n"
    assert make_function("python", source, Layers=[low]).call()[0] == "low"
    assert make_function("python", source, Layers=[low, high]).call()[0] == "high"
    assert make_function("python", source, Layers=[high, low]).call()[0] == "low"


def test_merged_layers_are_compiled(daemon, lam, make_function, publish):
    layers = [publish(lam, {"python/m%d.py" % i: "X = %d\n" % i}) for i in range(3)]
    before = trees(daemon)
    f = make_function("python", "import m0, m1, m2\ndef handler(e, c):\n    return m2.X\n",
                      Layers=layers)
    assert f.call() == 2
    merged = [t for t in trees(daemon) - before
              if os.path.isdir(os.path.join(daemon.data_dir, "code", t, "python"))]
    assert len(merged) == 1
    cache = os.path.join(daemon.data_dir, "code", merged[0], "python", "__pycache__")
    assert {n.split(".")[0] for n in os.listdir(cache)} == {"m0", "m1", "m2"}


def test_more_than_250_mb(lam, make_function, publish):
    """AWS counts the layers and the code together, before merging."""
    zeros = b"\0" * (1 << 20)
    big = [publish(lam, raw_zip_deflated({"big%d" % i: zeros * 90})) for i in range(3)]
    with refused("InvalidParameterValueException", 400) as e:
        make_function("python", WALK, Layers=big)
    assert "262144000" in e.message
    f = make_function("python", "def handler(e, c):\n    import os\n"
                      "    return sorted(os.listdir('/opt'))\n", Layers=big[:2])
    assert f.call() == ["big0", "big1"]
    with refused("InvalidParameterValueException", 400):
        lam.update_function_configuration(FunctionName=f.name, Layers=big)
    with refused("InvalidParameterValueException", 400) as e:
        lam.update_function_code(FunctionName=f.name,
                                 ZipFile=raw_zip_deflated({"app.py": zeros * 80}))
    assert "Unzipped size" in e.message
    assert f.call() == ["big0", "big1"]


def raw_zip_deflated(files):
    import io
    import zipfile
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        for name, data in files.items():
            z.writestr(name, data)
    return out.getvalue()


def test_deleted_layers_and_what_a_restart_removes(new_daemon, publish):
    d = new_daemon()
    lam = d.client("lambda")
    layers = [publish(lam, {"who": "layer %d" % i, "own%d" % i: "x" * 1000}) for i in range(3)]
    kept = make_function(d, "python", WALK, Layers=layers)
    gone = make_function(d, "python", WALK, Layers=layers[::-1])
    want = {"who": ["layer 2", 0o644], **{"own%d" % i: ["x" * 1000, 0o644] for i in range(3)}}
    assert kept.call() == want and gone.call()["who"] == ["layer 0", 0o644]
    assert len(trees(d)) == 1 + 3 + 2  # one package, three layers, two trees of them
    for arn in layers:
        forget(lam, arn)
    lam.update_function_configuration(FunctionName=kept.name, Timeout=20)
    assert kept.wait_active().call() == want
    gone.delete()
    d.restart()
    assert len(trees(d)) == 1 + 3 + 1
    kept.lam = d.client("lambda")
    assert kept.call() == want
    kept.delete()
    d.restart()
    assert trees(d) == set() and os.listdir(os.path.join(d.data_dir, "code")) == []


def test_a_tree_that_is_missing_is_made_again(new_daemon, publish):
    """As in a data directory that was written before layers were merged."""
    import shutil
    d = new_daemon()
    lam = d.client("lambda")
    before = trees(d)
    layers = [publish(lam, {"own%d" % i: str(i)}) for i in range(2)]
    single = trees(d) - before
    f = make_function(d, "python", "def handler(e, c):\n    import os\n"
                      "    return sorted(os.listdir('/opt'))\n", Layers=layers)
    d.stop()
    code = os.path.join(d.data_dir, "code")
    for name in trees(d) - single:
        if not os.path.exists(os.path.join(code, name, "app.py")):
            shutil.rmtree(os.path.join(code, name))
    d.start()
    f.lam = d.client("lambda")
    assert f.call() == ["own0", "own1"]


def test_killed_while_merging(new_daemon, publish):
    """Whatever moment it is, the layers are whole afterwards, and nothing half-made stays."""
    d = new_daemon()
    lam = d.client("lambda")
    n = 3000
    layers = [publish(lam, build_zip({"l%d/f%d" % (i, k): "x" for k in range(n)}))
              for i in range(3)]
    code = os.path.join(d.data_dir, "code")
    name = unique_name("merge")

    def create():
        try:
            lam.create_function(FunctionName=name, Runtime="python3.12", Role=ROLE,
                                Handler="app.handler", Layers=layers,
                                Code={"ZipFile": build_zip({"app.py": COUNT})})
        except Exception:  # its daemon was killed
            pass

    thread = threading.Thread(target=create)
    thread.start()

    def merging():
        for entry in os.listdir(code):
            if entry.startswith(".tmp-") and os.path.isdir(os.path.join(code, entry, "l0")):
                return True
        return not thread.is_alive()

    wait_until(merging, what="layers are being merged")
    d.kill()
    thread.join()
    d.start()
    lam = d.client("lambda")
    assert not [e for e in os.listdir(code) if e.startswith(".tmp-")]
    try:
        lam.get_function(FunctionName=name)
    except lam.exceptions.ResourceNotFoundException:
        create_again = lam.create_function(
            FunctionName=name, Runtime="python3.12", Role=ROLE, Handler="app.handler",
            Layers=layers, Code={"ZipFile": build_zip({"app.py": COUNT})}, Timeout=30)
        assert create_again["State"] == "Pending"
    f = Function(d, name, "")
    f.lam = lam
    assert f.wait_active().call() == 3 * n


COUNT = "def handler(e, c):\n    import os\n" \
        "    return sum(len(files) for _, _, files in os.walk('/opt'))\n"


def test_layers_without_isolation(new_daemon, publish):
    """No mounts are needed: what is merged is one folder."""
    d = new_daemon("--isolation", "none")
    lam = d.client("lambda")
    layers = [publish(lam, {"python/a.py": "X = 1\n"}), publish(lam, {"python/b.py": "X = 2\n"})]
    f = make_function(d, "python", "import a, b\ndef handler(e, c):\n    return a.X + b.X\n",
                      Layers=layers)
    assert f.call() == 3
