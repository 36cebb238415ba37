"""Images from a registry: skopeo fetches them from a real one on loopback, which speaks plain HTTP
as registries of a developer's own host do. And images that umoci has built."""

import json
import os
import shutil
import socket
import subprocess

import pytest
from botocore.exceptions import ClientError

import harness
from image_kit import Image, file, folder
from test_images import create, create_image, guest, place, refused, two_layers  # noqa: F401

REGISTRY = shutil.which("docker-registry") or os.path.join(
    harness.ROOT, ".tools", "usr", "bin", "docker-registry")

pytestmark = [
    pytest.mark.skipif(not shutil.which("skopeo"), reason="no skopeo"),
    pytest.mark.skipif(not os.access(REGISTRY, os.X_OK), reason="no docker-registry"),
]


class Registry:
    def __init__(self, folder):
        self.folder = folder
        for _ in range(10):  # somebody else may take the port meanwhile
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            if self.start():
                return
        raise RuntimeError("the registry does not start: " + self.log())

    def start(self):
        config = os.path.join(self.folder, "config.yml")
        with open(config, "w") as f:
            json.dump({"version": "0.1", "log": {"level": "error"},
                       "storage": {"filesystem": {"rootdirectory": self.folder + "/data"}},
                       "http": {"addr": "127.0.0.1:%d" % self.port}}, f)
        with open(os.path.join(self.folder, "log"), "w") as log:
            self.process = subprocess.Popen([REGISTRY, "serve", config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

        def listens():
            if self.process.poll() is not None:
                return True
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0

        harness.wait_until(listens, what="the registry listens")
        return self.process.poll() is None

    def log(self):
        with open(os.path.join(self.folder, "log")) as f:
            return f.read()

    def push(self, layout, name, *flags):
        r = subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", *flags,
                            "--dest-tls-verify=false", "oci:" + layout,
                            "docker://127.0.0.1:%d/%s" % (self.port, name)],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                           env=harness.clean_environment())
        assert r.returncode == 0, r.stderr

    def digest(self, name):
        r = subprocess.run(["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}",
                            "docker://127.0.0.1:%d/%s" % (self.port, name)],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                           env=harness.clean_environment())
        assert r.returncode == 0, r.stderr
        return r.stdout.strip()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def registry():
    path = harness.scratch_dir()
    r = Registry(path)
    yield r
    r.close()
    shutil.rmtree(path, ignore_errors=True)


def saying(guest, word):
    return Image([[folder("bin"), file("bin/guest", guest, 0o755), file("who", word)]],
                 Entrypoint=["/bin/guest"])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_by_tag_and_by_digest(registry, create, place, guest, lam, host):
    image = saying(guest, "one " + host)
    registry.push(image.write_layout(place + "/one"), "team/app-%s:v1" % host)
    name = "%s:%d/team/app-%s" % (host, registry.port, host)
    f = create(name + ":v1")
    assert f.call("read /who") == "one " + host
    assert f.created["CodeSha256"] == image.digest
    code = lam.get_function(FunctionName=f.name)["Code"]
    assert code["ImageUri"] == name + ":v1"
    assert code["ResolvedImageUri"] == name + "@sha256:" + image.digest
    assert create(code["ResolvedImageUri"]).call("read /who") == "one " + host
    assert create("docker://" + name + ":v1").call("read /who") == "one " + host


def test_a_tag_that_moves(registry, create, place, guest, lam):
    name = "127.0.0.1:%d/moves:latest" % registry.port
    old, new = saying(guest, "old"), saying(guest, "new")
    registry.push(old.write_layout(place + "/old"), "moves:latest")
    f = create(name[:-len(":latest")], Publish=True)  # without a tag
    assert f.call("read /who") == "old"
    registry.push(new.write_layout(place + "/new"), "moves:latest")
    assert f.call("read /who") == "old"  # nothing is fetched by itself
    lam.update_function_code(FunctionName=f.name, ImageUri=name)
    assert f.wait_active().call("read /who") == "new"
    assert json.loads(f.invoke("read /who", Qualifier="1").raw) == "old"
    resolved = lam.get_function(FunctionName=f.name)["Code"]["ResolvedImageUri"]
    assert resolved.endswith("/moves@sha256:" + new.digest)


def test_the_digest_is_the_registrys(registry, create, place, guest, lam):
    """docker push makes manifests of Docker's own format: their digest must stay what it is."""
    registry.push(saying(guest, "docker").write_layout(place + "/docker"), "docker:v2",
                  "--format", "v2s2")
    digest = registry.digest("docker:v2")
    name = "localhost:%d/docker" % registry.port
    f = create(name + ":v2")
    assert "sha256:" + f.created["CodeSha256"] == digest
    resolved = lam.get_function(FunctionName=f.name)["Code"]["ResolvedImageUri"]
    assert resolved == name + "@" + digest
    assert create(resolved).call("read /who") == "docker"


def test_what_the_registry_does_not_have(registry, create, daemon, place, guest):
    name = "localhost:%d/absent" % registry.port
    refused(create, name + ":v1", "could not be fetched")
    registry.push(saying(guest, "x").write_layout(place + "/x"), "absent:other")
    refused(create, name + ":v1", "could not be fetched")
    refused(create, name + "@sha256:" + "0" * 64, "could not be fetched")
    with socket.socket() as s:  # nobody listens
        s.bind(("127.0.0.1", 0))
        refused(create, "localhost:%d/x:y" % s.getsockname()[1], "could not be fetched")
    assert not [n for n in os.listdir(os.path.join(daemon.data_dir, "images"))
                if n.startswith(".tmp-")]


def test_blobs_that_the_registry_changed(registry, create, place, guest):
    image = saying(guest, "to be damaged")
    registry.push(image.write_layout(place + "/damaged"), "damaged:v1")
    for where, _, files in os.walk(registry.folder + "/data"):
        path = os.path.join(where, "data")
        if "data" in files and os.path.getsize(path) == len(image.blobs[0]):
            with open(path, "r+b") as f:
                f.seek(-1, 2)
                last = f.read(1)
                f.seek(-1, 2)
                f.write(bytes([last[0] ^ 1]))
    refused(create, "localhost:%d/damaged:v1" % registry.port)


@pytest.mark.skipif(not shutil.which("umoci"), reason="no umoci")
def test_built_by_umoci(registry, create, place, guest):
    """Its layers and configurations are what real builders make: two of them over each other."""
    layout, rootfs = place + "/umoci", place + "/rootfs"
    env = harness.clean_environment()

    def umoci(*words):
        flags = [] if os.geteuid() == 0 else ["--rootless"]
        words = list(words) + (flags if words[0] in ("unpack", "insert") else [])
        r = subprocess.run(["umoci", *words], stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=120, env=env)
        assert r.returncode == 0, r.stderr

    umoci("init", "--layout", layout)
    umoci("new", "--image", layout + ":base")
    umoci("unpack", "--image", layout + ":base", place + "/bundle")
    root = place + "/bundle/rootfs"
    os.makedirs(root + "/bin")
    with open(root + "/bin/guest", "wb") as f:
        f.write(guest)
    os.chmod(root + "/bin/guest", 0o755)
    os.makedirs(root + "/gone")
    with open(root + "/gone/x", "w") as f:
        f.write("lower")
    umoci("repack", "--image", layout + ":base", place + "/bundle")
    shutil.rmtree(place + "/bundle")
    umoci("unpack", "--image", layout + ":base", place + "/bundle")
    shutil.rmtree(root + "/gone")
    os.link(root + "/bin/guest", root + "/bin/again")
    with open(root + "/who", "w") as f:
        f.write("umoci")
    umoci("repack", "--image", layout + ":app", place + "/bundle")
    umoci("config", "--image", layout + ":app", "--config.entrypoint", "/bin/again",
          "--config.cmd", "a", "--config.workingdir", "/bin", "--config.user", "1234:5678",
          "--config.env", "MADE=by umoci")
    for where, _, files in os.walk(layout):
        os.chmod(where, 0o755)
        for name in files:
            os.chmod(os.path.join(where, name), 0o644)
    registry.push(layout + ":app", "umoci:app")
    for uri in ("oci:" + layout + ":app", "localhost:%d/umoci:app" % registry.port):
        f = create(uri)
        about = f.call("about")
        assert about["argv"] == ["/bin/again", "a"] and about["cwd"] == "/bin"
        assert "MADE=by umoci" in about["env"]
        assert about["uid"] not in (0, 1234)  # USER means nothing, as on AWS
        assert f.call("stat /gone") == {"error": "ENOENT"}
        assert f.call("read /who") == "umoci"


def test_only_this_hosts_registries_may_be_plain(registry, create, daemon):
    """A name that begins like a loopback address is another host's."""
    name = "127.0.0.1.nip.invalid:%d/x:y" % registry.port
    assert "http:" not in refused(create, name, "could not be fetched")


def test_without_rights(registry, new_daemon, place, guest):
    """The server's user has no home: skopeo must do without, and leave nothing in /var/tmp."""
    registry.push(saying(guest, "homeless").write_layout(place + "/h"), "homeless:v1")
    d = new_daemon(env={"HOME": "/nonexistent", "PATH": os.environ["PATH"]})
    create_image(d, "homeless", "localhost:%d/homeless:v1" % registry.port, Timeout=30)
    assert harness.Function(d, "homeless", "").call("read /who") == "homeless"
    with pytest.raises(ClientError):
        create_image(d, "other", "localhost:%d/homeless:v2" % registry.port)
