"""LocalStack's bucket hot-reload: code that runs from where it lies, and is new after each edit."""

import json
import os
import shutil
import subprocess
import urllib.request

import pytest
from botocore.exceptions import ClientError

from harness import ROLE, Function, binary, build_zip, descendants, scratch_dir, unique_name, \
    wait_until


@pytest.fixture(scope="module")
def place():
    path = os.path.realpath(scratch_dir())
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def hot(place):
    """A daemon that may run what lies below `place`."""
    import conftest
    d = conftest._Tracked("--hot-reload", place)
    yield d
    d.close()


@pytest.fixture
def folder(place):
    path = os.path.join(place, unique_name("code"))
    os.mkdir(path)
    os.chmod(path, 0o755)
    return path


def write(folder, name, text):
    """In place, as the simplest editors do."""
    path = os.path.join(folder, name)
    if os.path.dirname(name):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.chmod(os.path.dirname(path), 0o755)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)


def replace(folder, name, text):
    """Under another name, then renamed, as most editors do."""
    write(folder, name + "~", text)
    os.rename(os.path.join(folder, name + "~"), os.path.join(folder, name))


def python(value):
    return "def handler(event, context):\n    return %r\n" % (value,)


made = []


@pytest.fixture(autouse=True)
def ended():
    yield
    for f in made:
        try:
            f.delete()
        except Exception:  # already deleted, or its daemon has gone
            pass
    made.clear()


def create(d, folder, runtime="python3.12", handler="app.handler", **more):
    name = unique_name("hot")
    answer = d.client("lambda").create_function(
        FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE, Timeout=30,
        Code={"S3Bucket": "hot-reload", "S3Key": folder}, **more)
    f = Function(d, name, answer["FunctionArn"])
    f.created = answer
    made.append(f)
    return f.wait_active()


def refused(call, *words):
    with pytest.raises(ClientError) as e:
        call()
    error = e.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException", error
    for word in words:
        assert word in error["Message"], error


def text_of(f):
    return f.invoke({}).raw.decode()


def test_off_by_default(daemon, folder):
    refused(lambda: create(daemon, folder), "--hot-reload", "lambkin dev")


def test_other_buckets_are_still_missing(hot):
    refused(lambda: hot.client("lambda").create_function(
        FunctionName=unique_name(), Runtime="python3.12", Handler="a.b", Role=ROLE,
        Code={"S3Bucket": "mine", "S3Key": "k"}), "NoSuchBucket", "ZipFile")
    refused(lambda: hot.client("lambda").publish_layer_version(
        LayerName="l", Content={"S3Bucket": "hot-reload", "S3Key": "/tmp"}), "functions")


@pytest.mark.parametrize("save", [write, replace])
def test_the_next_invocation_runs_what_was_saved(hot, folder, save):
    """Without a moment between the two, many times."""
    write(folder, "app.py", python(0))
    f = create(hot, folder)
    assert f.call() == 0
    for i in range(1, 40):
        save(folder, "app.py", python(i))
        assert f.call() == i
    assert f.call() == 39


def test_an_unchanged_folder_stays_warm(hot, folder):
    write(folder, "app.py", "import uuid\nME = str(uuid.uuid4())\n"
                            "def handler(e, c):\n    return ME\n")
    f = create(hot, folder)
    first = f.call()
    assert [f.call() for _ in range(10)] == [first] * 10
    # What Python or git leave behind is no edit.
    os.mkdir(os.path.join(folder, "__pycache__"))
    write(folder, "__pycache__/app.cpython-311.pyc", "x")
    os.mkdir(os.path.join(folder, ".git"))
    assert f.call() == first
    write(folder, "other.txt", "x")
    assert f.call() != first


@pytest.mark.needs("node")
def test_nodejs(hot, folder):
    write(folder, "index.mjs", "import {x} from './lib/x.mjs';\nexport const handler = async () => x;\n")
    write(folder, "lib/x.mjs", "export const x = 1;\n")
    f = create(hot, folder, "nodejs20.x", "index.handler")
    assert f.call() == 1
    for i in range(2, 12):
        write(folder, "lib/x.mjs", "export const x = %d;\n" % i)
        assert f.call() == i


@pytest.mark.needs("cc")
def test_a_program_of_its_own(hot, folder):
    import harness
    source = os.path.join(harness.ROOT, "bench", "gateway_guest.c")
    if not os.path.exists(source):
        pytest.skip("no guest")
    with open(source) as f:
        program = harness.compile_c(f.read())

    def build():
        path = os.path.join(folder, "bootstrap~")
        with open(path, "wb") as f:
            f.write(program)
        os.chmod(path, 0o755)
        os.rename(path, os.path.join(folder, "bootstrap"))

    f = create(hot, folder, "provided.al2023", "x")  # before there is anything
    assert f.invoke({}).error
    build()
    assert not f.invoke({}).error


def test_half_a_file_and_then_the_rest(hot, folder):
    write(folder, "app.py", python(1))
    f = create(hot, folder)
    assert f.call() == 1
    with open(os.path.join(folder, "app.py"), "w") as out:
        out.write("def handler(event, context):\n    ret")
        out.flush()
        assert f.invoke({}).error  # as it is saved, so it runs
        out.write("urn (2\n")
        out.flush()
        assert "SyntaxError" in text_of(f)
        out.write(")\n")
    assert f.call() == 2
    open(os.path.join(folder, "app.py"), "w").close()
    assert f.invoke({}).error
    write(folder, "app.py", python(3))
    assert f.call() == 3


def test_folders_that_come_and_go(hot, folder):
    write(folder, "app.py", "def handler(e, c):\n    from part.deep import value\n"
                            "    return value.V\n")
    f = create(hot, folder)
    assert "part" in text_of(f)
    write(folder, "part/deep/value.py", "V = 1\n")
    os.chmod(os.path.join(folder, "part"), 0o755)
    assert f.call() == 1
    for i in range(2, 8):
        write(folder, "part/deep/value.py", "V = %d\n" % i)
        assert f.call() == i
    os.rename(os.path.join(folder, "part"), os.path.join(folder, "away"))
    assert "part" in text_of(f)
    os.rename(os.path.join(folder, "away"), os.path.join(folder, "part"))
    assert f.call() == 7
    write(folder, "part/deep/value.py", "V = 8\n")
    assert f.call() == 8


def test_the_folder_itself_is_made_anew(hot, folder):
    """What build tools do with their output."""
    write(folder, "app.py", python("old"))
    f = create(hot, folder)
    assert f.call() == "old"
    shutil.rmtree(folder)
    with pytest.raises(ClientError):
        raise AssertionError(f.call())
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    write(folder, "app.py", python("new"))
    assert f.call() == "new"
    write(folder, "app.py", python("newer"))
    assert f.call() == "newer"
    os.rename(folder, folder + "-moved")
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    write(folder, "app.py", python("another"))
    assert f.call() == "another"


def test_what_clients_see(hot, folder):
    write(folder, "app.py", python("hot"))
    f = create(hot, folder, Publish=True)
    lam = f.lam
    assert f.created["CodeSize"] == 0 and f.created["PackageType"] == "Zip"
    code = lam.get_function(FunctionName=f.name)["Code"]
    assert code["Location"] == "file://" + folder
    write(folder, "app.py", python("edited"))
    assert json.loads(f.invoke({}, Qualifier="1").raw) == "edited"
    # to a package, whose answer does not follow the folder any more, and back
    lam.update_function_code(FunctionName=f.name, ZipFile=build_zip({"app.py": python("zip")}))
    assert f.wait_active().call() == "zip"
    write(folder, "app.py", python("unseen"))
    assert f.call() == "zip"
    assert json.loads(f.invoke({}, Qualifier="1").raw) == "unseen"
    lam.update_function_code(FunctionName=f.name, S3Bucket="hot-reload", S3Key=folder + "/")
    assert f.wait_active().call() == "unseen"
    lam.update_function_configuration(FunctionName=f.name, Timeout=9)
    write(folder, "app.py", python("again"))
    assert f.wait_active().call() == "again"


def test_nothing_can_be_written(hot, folder):
    write(folder, "app.py", "def handler(e, c):\n    try:\n        open('/var/task/x', 'w')\n"
                            "    except OSError as e:\n        return e.errno\n")
    f = create(hot, folder)
    assert f.call() == 30  # EROFS
    assert os.listdir(folder) == ["app.py"]


def test_other_ways_in_see_edits_too(hot, folder):
    """Function URLs and events do not come by Invoke."""
    write(folder, "app.py", python("one"))
    f = create(hot, folder)
    url = f.lam.create_function_url_config(FunctionName=f.name, AuthType="NONE")["FunctionUrl"]
    f.lam.add_permission(FunctionName=f.name, StatementId="all", Principal="*",
                         Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    host = url.split("/")[2]

    def get():
        r = urllib.request.Request(hot.url + "/", headers={"Host": host})
        with urllib.request.urlopen(r, timeout=60) as answer:
            return answer.read().decode()

    assert get() == "one"
    for i in range(10):
        write(folder, "app.py", python("n%d" % i))
        assert get() == "n%d" % i


def test_what_is_refused(hot, folder, place, tmp_path):
    outside = os.path.realpath(scratch_dir())
    try:
        os.symlink(outside, os.path.join(folder, "out"))
        write(folder, "file", "x")
        for key, word in [(outside, "none of the folders"), ("relative", "absolute"),
                          (folder + "/out", "none of the folders"), (folder + "/file", "no folder"),
                          (folder + "/absent", "No such file"), (place + "x", "No such file"),
                          (folder + "/../../..", "none of the folders"), ("/", "none of the folders"),
                          ("/" + "x" * 1010, "absolute")]:
            refused(lambda: create(hot, key), word)
        # SnapStart
        write(folder, "app.py", python(1))
        refused(lambda: create(hot, folder, SnapStart={"ApplyOn": "PublishedVersions"}), "SnapStart")
        f = create(hot, folder)
        refused(lambda: f.lam.update_function_configuration(
            FunctionName=f.name, SnapStart={"ApplyOn": "PublishedVersions"}), "SnapStart")
        # within the folder, a link is just another name
        os.mkdir(os.path.join(folder, "real"))
        os.chmod(os.path.join(folder, "real"), 0o755)
        write(folder, "real/app.py", python("linked"))
        os.symlink("real", os.path.join(folder, "inside"))
        f = create(hot, folder + "/inside")
        assert f.call() == "linked"
        f.delete()
    finally:
        shutil.rmtree(outside, ignore_errors=True)


@pytest.mark.needs("root")
def test_a_folder_that_functions_cannot_read(hot, folder):
    os.chmod(folder, 0o700)
    refused(lambda: create(hot, folder), "chmod o+rx")
    os.chmod(folder, 0o755)
    write(folder, "app.py", python(1))
    os.chmod(os.path.join(folder, "app.py"), 0o600)
    f = create(hot, folder)
    assert "Permission denied" in text_of(f)
    os.chmod(os.path.join(folder, "app.py"), 0o644)
    assert f.call() == 1


def test_bad_settings(place):
    for value, word in [("/", "not the root"), (place + "/absent", "No such file"),
                        ("/etc/passwd", "no folder"), (":".join([place] * 17), "more than 16")]:
        r = subprocess.run([binary(), "serve", "--ephemeral", "--port", "0", "--hot-reload", value],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert r.returncode == 1 and word in r.stderr, r.stderr
    r = subprocess.run([binary(), "serve", "--data-dir", place + "/data", "--port", "0",
                        "--hot-reload", place], stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=60)
    assert r.returncode == 1 and "data directory" in r.stderr


def test_restarts(new_daemon, folder, place):
    d = new_daemon("--hot-reload", place)
    write(folder, "app.py", python(1))
    f = create(d, folder)
    assert f.call() == 1
    d.restart()
    f.lam = d.client("lambda")
    assert f.call() == 1
    write(folder, "app.py", python(2))
    assert f.call() == 2
    d.stop()
    shutil.rmtree(folder)
    d.start()
    f.lam = d.client("lambda")
    with pytest.raises(ClientError):
        raise AssertionError(f.call())
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    write(folder, "app.py", python(3))
    assert f.call() == 3


def test_nothing_is_left_behind(hot, folder):
    """Environments of old code end; with the function its watches go."""
    server = hot.children()["server"]

    def descriptors():
        return len(os.listdir("/proc/%d/fd" % server))

    def sandboxes():
        return len(descendants(hot.children()["keeper"]))

    write(folder, "app.py", python(0))
    warm = create(hot, folder)
    warm.call()
    warm.delete()
    wait_until(lambda: not inotifies(server), what="no watch is left")
    settled = descriptors()
    f = create(hot, folder)
    for i in range(30):
        write(folder, "app.py", python(i))
        assert f.call() == i
    assert inotifies(server) == 1
    # Spares come and go; thirty environments do not stay.
    wait_until(lambda: sandboxes() < 30, what="environments of old code ended")
    f.delete()
    wait_until(lambda: not inotifies(server) and descriptors() <= settled + 20,
               what="descriptors are given back")


def inotifies(pid):
    links = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            links.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
        except OSError:
            pass
    return sum("inotify" in link for link in links)


def test_lambkin_dev_uses_it(hot, folder, daemon):
    """Where the daemon may run the folder from where it lies, dev deploys nothing; what stays is a
    package."""
    from test_dev import Dev
    write(folder, "app.py", python(0))
    f = Function(hot, unique_name("dev"), "")
    made.append(f)
    d = Dev(hot, folder, f.name)
    try:
        d.wait_for("err", "which runs from where it lies")
        code = f.lam.get_function(FunctionName=f.name)["Code"]
        assert code["Location"] == "file://" + folder
        for i in range(1, 10):
            write(folder, "app.py", python(i))
            assert f.call() == i
        d.wait_for("err", "app.py: live")
        write(folder, "app.py", "def handler(e, c):\n    print('a line')\n    return 1\n")
        assert f.call() == 1
        d.wait_for("out", "a line")
        assert hot.cli("rm", f.name).returncode == 0
        write(folder, "app.py", python("made anew"))
        d.wait_for("err", "created", times=2)
        assert f.call() == "made anew"
    finally:
        assert d.end() == 0
    assert "stays deployed" in d.text["err"]
    write(folder, "app.py", python("unseen"))
    assert f.call() == "made anew"
    assert "Location" in f.lam.get_function(FunctionName=f.name)["Code"]
    assert not f.lam.get_function(FunctionName=f.name)["Code"]["Location"].startswith("file:")
    # elsewhere it sends packages, as ever
    d = Dev(daemon, folder, f.name)
    try:
        d.wait_for("err", "watching " + folder + ";")
    finally:
        d.end()
        daemon.cli("rm", f.name)


def test_folders_that_come_while_others_are_looked_through(hot, folder):
    """Many at once, as package managers make them; the last edit counts wherever it is."""
    write(folder, "app.py", "def handler(e, c):\n    import importlib\n"
                            "    return importlib.import_module(e['m']).V\n")
    f = create(hot, folder)
    for n in range(4):
        for i in range(60):
            write(folder, "p%d_%d/value.py" % (n, i), "V = %d\n" % n)
            if i % 20 == 19:
                assert f.call({"m": "p%d_%d.value" % (n, i)}) == n
        for i in (0, 30, 59):
            write(folder, "p%d_%d/value.py" % (n, i), "V = 'edited'\n")
            assert f.call({"m": "p%d_%d.value" % (n, i)}) == "edited"
