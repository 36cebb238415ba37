"""Functions from container images: what CreateFunction accepts, what the program sees, and images
that were built to do harm."""

import json
import os
import shutil
import signal
import stat

import pytest
from botocore.exceptions import ClientError

import harness
import image_kit
from image_kit import Image, file, folder, hard, link

GUEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "image_guest.c")


@pytest.fixture(scope="module")
def guest():
    with open(GUEST) as f:
        return harness.compile_c(f.read())


@pytest.fixture
def place():
    path = harness.scratch_dir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def create_image(daemon, name, uri, **options):
    try:
        return daemon.client("lambda").create_function(
            FunctionName=name, PackageType="Image", Role=harness.ROLE, Code={"ImageUri": uri},
            **options)
    except ClientError as e:
        if "need mount namespaces" in e.response["Error"]["Message"]:
            pytest.skip("this host has no mount namespaces, which images need")
        raise


@pytest.fixture
def create(daemon):
    made = []

    def factory(uri, wait=True, **options):
        name = harness.unique_name("image")
        options.setdefault("Timeout", 30)
        created = create_image(daemon, name, uri, **options)
        function = harness.Function(daemon, name, created["FunctionArn"])
        made.append(function)
        function.created = created
        return function.wait_active() if wait else function

    yield factory
    for f in made:
        f.delete()


def env_of(about):
    return dict(e.split("=", 1) for e in about["env"])


def refused(create, uri, *words, **options):
    with pytest.raises(ClientError) as e:
        create(uri, **options)
    error = e.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException", error
    for word in words:
        assert word in error["Message"], error
    return error["Message"]


def two_layers(guest, **config):
    config.setdefault("Entrypoint", ["/bin/guest", "one"])
    config.setdefault("Cmd", ["two words"])
    return Image([
        [folder("bin"), file("bin/guest", guest, 0o4755), file("etc/motd", "lower"),
         folder("gone"), file("gone/a", "a"), folder("opaque"), file("opaque/old", "old"),
         file("replaced", "old"), folder("var/task"), link("usr", "var"),
         ("dev/evil", "dev", None, 0o666), ("a-pipe", "pipe", None, 0o666)],
        [file(".wh.gone"), file("opaque/new", "new"), file("opaque/.wh..wh..opq"),
         file("replaced", "new"), hard("same", "etc/motd"), link("absolute", "/etc/motd"),
         link("out", "/../../etc/motd"), file("usr/through", "by link"), file("secret", "s", 0o600),
         folder("bench")],
    ], **config)


def test_what_the_program_sees(create, place, guest):
    image = two_layers(guest, Env=["FROM=image", "BOTH=image", "PATH=/bin:/usr/bin"],
                       WorkingDir="/bench")
    path = image.write_layout(place + "/layout")
    f = create("oci:" + path, Environment={"Variables": {"BOTH": "function"}})
    about = f.call("about")
    assert about["argv"] == ["/bin/guest", "one", "two words"]
    assert about["cwd"] == "/bench" and about["uid"] != 0
    env = env_of(about)
    assert env["FROM"] == "image" and env["BOTH"] == "function" and env["PATH"] == "/bin:/usr/bin"
    assert env["AWS_LAMBDA_FUNCTION_NAME"] == f.name and env["_HANDLER"] == "two words"
    # deletions, replacements, links
    assert f.call("stat /gone") == {"error": "ENOENT"}
    assert f.call("list /opaque") == ["new"]
    assert f.call("read /replaced") == "new"
    assert f.call("read /absolute") == "lower"
    assert f.call("read /out") == "lower"
    assert f.call("read /var/through") == "by link"
    assert f.call("read /secret") == "s"
    same, motd = f.call("stat /same"), f.call("stat /etc/motd")
    assert same["inode"] == motd["inode"] and same["links"] == 2
    # nothing that gives power
    assert f.call("stat /bin/guest")["mode"] == stat.S_IFREG | 0o755
    assert f.call("stat /dev/evil") == {"error": "ENOENT"}
    assert f.call("stat /a-pipe") == {"error": "ENOENT"}
    # the sandbox's own places, and a root that cannot be written
    assert f.call("create /tmp/file") is True
    assert f.call("create /bench/file") == {"error": "EROFS"}
    assert "localhost" in f.call("read /etc/hosts")
    assert "nameserver" in f.call("read /etc/resolv.conf")
    assert f.call("read /proc/self/comm") == "guest\n"
    assert f.call("stat /dev/null")["mode"] & stat.S_IFCHR
    assert set(f.call("list /")) == {
        "absolute", "bin", "dev", "etc", "opaque", "out", "proc", "replaced", "same", "secret",
        "sys", "tmp", "usr", "var", "bench"}


def test_answers(create, place, guest, lam):
    image = two_layers(guest)
    path = image.write_layout(place + "/layout", tag="v1")
    f = create("oci:" + path + ":v1", Description="an image", MemorySize=256)
    c = f.created
    assert c["PackageType"] == "Image" and c["CodeSha256"] == image.digest and c["CodeSize"] == 0
    assert "Runtime" not in c and "Handler" not in c and "ImageConfigResponse" not in c
    got = lam.get_function(FunctionName=f.name)
    assert got["Code"]["RepositoryType"] == "ECR"
    assert got["Code"]["ImageUri"] == "oci:" + path + ":v1"
    assert got["Code"]["ResolvedImageUri"] == "oci:" + path + "@sha256:" + image.digest
    assert "Location" not in got["Code"]
    # the resolved URI is an image URI
    lam.update_function_code(FunctionName=f.name, ImageUri=got["Code"]["ResolvedImageUri"])
    assert f.wait_active().call("about")["argv"][0] == "/bin/guest"


def test_image_config(create, place, guest, lam):
    f = create(two_layers(guest, WorkingDir="/bench").write_layout(place + "/layout"),
               ImageConfig={"Command": ["other"], "WorkingDirectory": "/etc"})
    about = f.call("about")
    assert about["argv"] == ["/bin/guest", "one", "other"] and about["cwd"] == "/etc"
    assert f.created["ImageConfigResponse"]["ImageConfig"] == {
        "Command": ["other"], "WorkingDirectory": "/etc"}
    # a program that is looked up in PATH, and an entrypoint that replaces the image's command
    lam.update_function_configuration(FunctionName=f.name, ImageConfig={"EntryPoint": ["guest"]})
    about = f.wait_active().call("about")
    assert about["argv"] == ["/bin/guest"] and about["cwd"] == "/bench"
    lam.update_function_configuration(FunctionName=f.name, ImageConfig={})
    assert f.wait_active().call("about")["argv"] == ["/bin/guest", "one", "two words"]
    assert "ImageConfigResponse" not in lam.get_function_configuration(FunctionName=f.name)


def test_archives(create, place, guest):
    image = two_layers(guest)
    docker = image.write_docker_archive(place + "/docker.tar")
    for uri in ("docker-archive:" + docker, docker,
                "docker-archive:" + docker + ":test/image:latest"):
        f = create(uri)
        assert f.created["CodeSha256"] == image.digest
        assert f.call("read /replaced") == "new"
    refused(create, "docker-archive:" + docker + ":other:tag", "no such image")
    oci = image.write_oci_archive(place + "/oci.tar")
    for uri in ("oci-archive:" + oci, oci):
        assert create(uri).call("read /replaced") == "new"
    plain = Image([[file("guest", guest, 0o755)]], compress=False, Entrypoint=["./guest"])
    assert create(plain.write_layout(place + "/plain")).call("about")["argv"] == ["/./guest"]


def test_update_publish_and_share(create, place, guest, lam):
    first = two_layers(guest).write_layout(place + "/first")
    second_image = Image([[file("guest", guest, 0o755), file("who", "second")]],
                         Entrypoint=["/guest"])
    second = second_image.write_layout(place + "/second")
    f = create(first, Publish=True)
    g = create(first)  # the same content, unpacked once
    assert f.call("read /replaced") == g.call("read /replaced") == "new"
    lam.update_function_code(FunctionName=f.name, ImageUri=second)
    assert f.wait_active().call("read /who") == "second"
    assert json.loads(f.invoke("read /replaced", Qualifier="1").raw) == "new"
    with pytest.raises(ClientError) as e:
        lam.update_function_code(FunctionName=f.name, ZipFile=b"PK")
    assert "ImageUri" in e.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as e:
        lam.update_function_configuration(FunctionName=f.name, Handler="a.b")
    assert "Image" in e.value.response["Error"]["Message"]


def test_restart_and_collection(new_daemon, place, guest):
    d = new_daemon()
    lam = d.client("lambda")
    first = two_layers(guest)
    uri = first.write_layout(place + "/first")
    for name in ("kept", "gone"):
        code = uri if name == "kept" else Image(
            [[file("guest", guest, 0o755)]], Entrypoint=["/guest"]).write_layout(place + "/other")
        create_image(d, name, code)
    images = os.path.join(d.data_dir, "images")
    assert len(os.listdir(images)) == 2
    lam.delete_function(FunctionName="gone")
    os.mkdir(os.path.join(images, ".tmp-left-by-a-crash"))
    d.restart()
    assert os.listdir(images) == [first.digest]
    f = harness.Function(d, "kept", "")
    f.lam = d.client("lambda")
    assert f.call("read /replaced") == "new"
    got = f.lam.get_function(FunctionName="kept")
    assert got["Code"]["ImageUri"] == uri


def test_the_keeper_dies(new_daemon, place, guest):
    d = new_daemon()
    uri = two_layers(guest).write_layout(place + "/layout")
    for name in ("one", "two"):
        create_image(d, name, uri, Timeout=30)
        assert harness.Function(d, name, "").call("read /replaced") == "new"
    keeper = d.children()["keeper"]
    sandboxes = harness.descendants(keeper)
    os.kill(keeper, signal.SIGKILL)
    harness.wait_until(lambda: not any(harness.alive(pid) for pid in sandboxes))

    def works():
        try:
            return harness.Function(d, "one", "").call("read /replaced") == "new"
        except (ClientError, AssertionError):
            return False
    harness.wait_until(works, what="images run under the next keeper")


def start_again(f, i):
    f.lam.update_function_configuration(FunctionName=f.name,
                                        Environment={"Variables": {"ROUND": str(i)}})
    return f.wait_active()


def test_cold_starts_of_several_images(create, place, guest):
    """More images than sandboxes that wait for them, in turns: each start is of the right one."""
    functions = []
    for i in range(6):
        image = Image([[file("guest", guest, 0o755), file("who", "image %d" % i)]],
                      Entrypoint=["/guest"])
        functions.append(create(image.write_layout("%s/%d" % (place, i))))
    for n in range(4):
        for i, f in enumerate(functions):
            assert start_again(f, n).call("read /who") == "image %d" % i
    for n in range(12):  # the same again and again: one that waits already
        assert start_again(functions[0], 100 + n).call("read /who") == "image 0"


def test_an_image_that_was_removed_and_stored_again(new_daemon, place, guest):
    """A sandbox that waits with an image never shows what lay there before."""
    d = new_daemon()
    image = Image([[file("guest", guest, 0o755), file("who", "me")]], Entrypoint=["/guest"])
    uri = image.write_layout(place + "/layout")
    f = harness.Function(d, "f", "")
    keeper = d.children()["keeper"]
    for n in range(3):
        f.lam = d.client("lambda")
        create_image(d, "f", uri)
        for i in range(4):
            assert start_again(f, i).call("read /who") == "me"
        f.lam.delete_function(FunctionName="f")
        server = d.children()["server"]
        os.kill(server, signal.SIGKILL)  # the next one removes what no function holds
        harness.wait_until(lambda: d.children().get("server") not in (None, server))
        images = os.path.join(d.data_dir, "images")
        harness.wait_until(lambda: not os.listdir(images), what="the image is removed")
    assert d.children()["keeper"] == keeper


def test_missing_programs(create, place, guest):
    layer = [file("guest", guest, 0o755), file("not-executable", guest, 0o644)]
    nothing = create(Image([layer]).write_layout(place + "/nothing"))
    answer = nothing.invoke("about")
    assert answer.error and answer.payload["errorType"] == "Runtime.InvalidEntrypoint", answer
    for n, program in enumerate(["/missing", "missing", "/not-executable"]):
        f = create(Image([layer], Entrypoint=[program]).write_layout(place + "/p%d" % n))
        answer = f.invoke("about")
        assert answer.error and answer.payload["errorType"] == "Runtime.InvalidEntrypoint", answer
    # ImageConfig can mend it
    f = create(place + "/nothing", ImageConfig={"EntryPoint": ["/guest"]})
    assert f.call("about")["argv"] == ["/guest"]


def test_refused_parameters(create, place, guest, lam):
    uri = two_layers(guest).write_layout(place + "/layout")
    refused(create, uri, "Handler or Runtime", Handler="a.b", Runtime="python3.12")
    refused(create, uri, "absolute", ImageConfig={"WorkingDirectory": "relative"})
    refused(create, "oci:relative/path", "not absolute")
    refused(create, "oci:" + uri + ":nope", "nope")
    refused(create, "oci:" + uri + "@sha256:short", "SHA-256")
    refused(create, "oci:" + uri + "@sha256:" + "0" * 64, "lacks")
    refused(create, place + "/absent", "No such file")
    refused(create, place, "index.json")
    with pytest.raises(ClientError) as e:
        lam.create_function(FunctionName=harness.unique_name(), Role=harness.ROLE,
                            Runtime="python3.12", Handler="a.b", Code={"ImageUri": uri})
    assert e.value.response["Error"]["Code"] == "InvalidParameterValueException"


def test_registry_without_skopeo(new_daemon):
    d = new_daemon(env={"PATH": "/nonexistent"})
    with pytest.raises(ClientError) as e:
        create_image(d, "r", "000000000000.dkr.ecr.us-east-1.amazonaws.com/repository:tag")
    assert "skopeo" in e.value.response["Error"]["Message"]


def test_bad_digests(create, place, guest):
    image = two_layers(guest, Env=["TEST=digests"])  # one that is not stored yet
    good = image.files()
    names = [n for n in good if n.startswith("blobs/")]
    for i, name in enumerate(names):
        bad = dict(good)
        data = bytearray(bad[name])
        data[-1] ^= 1  # the same size, another content
        bad[name] = bytes(data)
        refused(create, image_kit.write_tree("%s/bad%d" % (place, i), bad), "digest says")
    bad = dict(good)
    del bad[names[-1]]
    refused(create, image_kit.write_tree(place + "/lacks", bad), "lacks")
    other = two_layers(guest, Env=["TEST=layers"])
    other.config["rootfs"]["diff_ids"][0] = "sha256:" + "0" * 64
    refused(create, other.write_layout(place + "/diff"), "configuration says")
    other.config["rootfs"]["diff_ids"].pop()
    refused(create, other.write_layout(place + "/fewer"), "layers")
    refused(create, Image([[]], architecture="s390x").write_layout(place + "/arch"), "s390x")


def test_bad_documents(create, place, guest):
    image = two_layers(guest, Env=["TEST=documents"])
    manifest = image.manifest()
    many = dict(manifest, layers=manifest["layers"][:1] * 200)
    refused(create, image.write_layout(place + "/many", manifest=many), "more than 127 layers")
    huge = json.dumps(manifest).encode() + b" " * (5 << 20)
    refused(create, image.write_layout(place + "/huge", manifest=huge), "larger than")
    for i, (body, word) in enumerate([
            (b"{", "JSON"), (b"[" * 100000, "JSON"), (b"null", "object"),
            (json.dumps(dict(manifest, config={"digest": "sha256:../../etc"})).encode(), "SHA-256"),
            (json.dumps(dict(manifest, schemaVersion=1)).encode(), "schema"),
            (json.dumps(dict(manifest, layers=[dict(manifest["layers"][0], mediaType="x/zip")]))
             .encode(), "type")]):
        refused(create, image.write_layout("%s/d%d" % (place, i), manifest=body), word)


HOSTILE = [
    ("dots", [file("../outside", "x")], "leads out"),
    ("dots-inside", [folder("a"), file("a/../../outside", "x")], "leads out"),
    ("hard-link-dots", [hard("x", "../../etc/passwd")], "leads out"),
    ("hard-link-nothing", [hard("x", "etc/passwd")], "hard link"),
    ("hard-link-folder", [folder("a"), hard("x", "a")], "hard link"),
    ("below-a-file", [file("a", "x"), file("a/b", "y")], "no folder"),
    ("loop", [link("a", "b"), link("b", "a"), file("a/x", "y")], "no folder"),
    ("link-to-nothing", [link("a", "/tmp"), file("a/x", "y")], "no folder"),
    ("long-name", [file("a" * 300, "x")], "too long"),
    ("deep", [file("/".join("d" * 200), "x")], "too long"),
    ("no-tar", b"not a tar archive at all" * 100, "tar"),
    ("half", image_kit.tar_of([file("a", b"x" * 100000)])[:5000], ""),
]


@pytest.mark.parametrize("name,layer,word", HOSTILE, ids=[h[0] for h in HOSTILE])
def test_hostile_layers(daemon, create, place, name, layer, word):
    uri = Image([layer], Entrypoint=["/x"]).write_layout(place + "/layout")
    refused(create, uri, word)
    assert not [n for n in os.listdir(os.path.join(daemon.data_dir, "images"))
                if n.startswith(".tmp-")]


def test_links_do_not_lead_out(daemon, create, place, guest):
    """Links that point to the host are written through: what they name is the image's own."""
    victim = place + "/victim"
    os.mkdir(victim)
    os.chmod(victim, 0o777)
    image = Image([
        [folder(victim[1:]), file("guest", guest, 0o755), link("escape", victim),
         link("up", "../../../../.." + victim), link("sys", victim), link("proc", victim),
         link("etc", "/new-etc"), folder("new-etc")],
        [file("escape/planted", "1"), file("up/planted2", "2"), file("sys/planted3", "3"),
         file("escape/.wh.victim"), file(".wh.nothing")],
    ], Entrypoint=["/guest"])
    f = create(image.write_layout(place + "/layout"))
    assert os.listdir(victim) == []
    inside = os.path.join(daemon.data_dir, "images", image.digest, "root") + victim
    assert sorted(os.listdir(inside)) == ["planted", "planted2", "planted3"]
    assert f.call("create /tmp/x") is True
    assert "localhost" in f.call("read /etc/hosts")
    assert f.call("list /sys") == []
    assert os.listdir(victim) == []
