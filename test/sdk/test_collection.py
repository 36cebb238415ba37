"""Disk space: what no function holds any more is removed while the daemon runs, after a while, and
nothing that one holds ever is."""

import os
import shutil

import pytest

import harness
from harness import Function, build_zip, make_function, unique_name, wait_until
from image_kit import Image, file
from test_images import create_image, guest  # noqa: F401
from test_snapstart import environments, everything


def python(value):
    return "def handler(event, context):\n    return %r\n" % (value,)


@pytest.fixture
def brisk(new_daemon):
    """Looks each 60 ms, and removes what was unused for 360."""
    return new_daemon("--time-scale", "0.0001")


def stored(d, which="code"):
    return set(os.listdir(os.path.join(d.data_dir, which)))


def test_code_and_layers_go_with_their_functions(brisk):
    lam = brisk.client("lambda")
    layers = [lam.publish_layer_version(
        LayerName=unique_name("l"), Content={"ZipFile": build_zip({"f%d" % i: "x"})}
    )["LayerVersionArn"] for i in range(2)]
    with_layers = "import os\ndef handler(e, c):\n    return sorted(os.listdir('/opt'))\n"
    kept = make_function(brisk, "python", with_layers, Layers=layers, Publish=True)
    kept.call()
    before = stored(brisk)
    gone = make_function(brisk, "python", with_layers + "# other\n", Layers=layers[::-1])
    assert gone.call() == ["f0", "f1"]
    assert len(stored(brisk) - before) == 3  # a package, its zip, and a tree of both layers
    gone.delete()
    wait_until(lambda: stored(brisk) == before, what="the deleted function's code is removed")
    # Each deployment leaves one behind, as the local loop does; what a version holds stays.
    for i in range(5):
        lam.update_function_code(FunctionName=kept.name,
                                 ZipFile=build_zip({"app.py": python(i)}))
    assert kept.wait_active().call() == 4
    wait_until(lambda: len(stored(brisk) - before) == 2, what="only the last package is kept")
    assert before <= stored(brisk)
    assert b"f0" in kept.invoke({}, Qualifier="1").raw
    # Deleted layers live on in the functions that hold them, and go with the last.
    for arn in layers:
        name, version = arn.rsplit(":", 1)
        lam.delete_layer_version(LayerName=name, VersionNumber=int(version))
    fresh = make_function(brisk, "python", python("fresh"))
    fresh.delete()
    wait_until(lambda: len(stored(brisk) - before) == 2, what="another round is over")
    assert b"f1" in kept.invoke({}, Qualifier="1").raw
    lam.get_function(FunctionName=kept.name)
    kept.delete()
    wait_until(lambda: not stored(brisk), what="nothing is left")


def test_the_same_package_again_and_again(brisk):
    """Deployed while it is being collected: it is there, or it is made anew."""
    lam = brisk.client("lambda")
    package = build_zip({"app.py": python("the same")})
    for i in range(15):
        f = make_function(brisk, "python", files=None, source=python("the same"))
        assert f.call() == "the same", i
        lam.update_function_code(FunctionName=f.name, ZipFile=package)
        assert f.wait_active().call() == "the same"
        f.delete()


def test_images_go_too(brisk, guest):
    place = harness.scratch_dir()
    try:
        names = []
        for i in range(2):
            image = Image([[file("guest", guest, 0o755), file("who", "image %d" % i)]],
                          Entrypoint=["/guest"])
            names.append(image)
            create_image(brisk, "image-%d" % i, image.write_layout("%s/%d" % (place, i)),
                         Timeout=30)
            assert Function(brisk, "image-%d" % i, "").call("read /who") == "image %d" % i
        kept, gone = [image.digest for image in names]
        brisk.client("lambda").delete_function(FunctionName="image-1")
        wait_until(lambda: stored(brisk, "images") == {kept}, what="the image is removed")
        assert Function(brisk, "image-0", "").call("read /who") == "image 0"
    finally:
        shutil.rmtree(place, ignore_errors=True)


def at_rest(d):
    """Counted once they no longer change: what waits ahead of time is made again."""
    seen, times = None, 0

    def rests():
        nonlocal seen, times
        now = everything(d)
        times = times + 1 if now == seen else 0
        seen = now
        return times >= 8 and now

    return wait_until(rests, what="sandboxes are ready again")


def test_nothing_is_left_of_layers_images_and_folders(new_daemon, guest):
    """Processes, descriptors, namespaces, mounts, cgroups and disk space, round by round."""
    place = os.path.realpath(harness.scratch_dir())
    d = new_daemon("--time-scale", "0.0001", "--spares", "0", "--hot-reload", place)
    lam = d.client("lambda")
    image = Image([[file("guest", guest, 0o755), file("who", "me")]], Entrypoint=["/guest"])
    uri = image.write_layout(place + "/image")
    folder = place + "/code"
    os.mkdir(folder)
    os.chmod(folder, 0o755)

    def save(value):
        with open(folder + "/app.py", "w") as f:
            f.write(python(value))
        os.chmod(folder + "/app.py", 0o644)

    def round_of_all():
        arns = [lam.publish_layer_version(
            LayerName="l%d" % i, Content={"ZipFile": build_zip({"f%d" % i: "x"})}
        )["LayerVersionArn"] for i in range(3)]
        f = make_function(d, "python", python("layers"), Layers=arns)
        assert f.call() == "layers"
        for arn in arns:
            name, version = arn.rsplit(":", 1)
            lam.delete_layer_version(LayerName=name, VersionNumber=int(version))
        f.delete()
        create_image(d, "image", uri, Timeout=30)
        f = Function(d, "image", "")
        for i in range(3):
            lam.update_function_configuration(FunctionName="image",
                                              Environment={"Variables": {"ROUND": str(i)}})
            assert f.wait_active().call("read /who") == "me"
        f.delete()
        save(0)
        lam.create_function(FunctionName="hot", Runtime="python3.12", Handler="app.handler",
                            Role=harness.ROLE, Timeout=30,
                            Code={"S3Bucket": "hot-reload", "S3Key": folder})
        f = Function(d, "hot", "")
        for i in range(5):
            save(i)
            assert f.call() == i
        f.delete()
        wait_until(lambda: environments(d) == 0, what="the environments have ended")
        wait_until(lambda: not stored(d) and not stored(d, "images"), what="the disk is empty")

    try:
        round_of_all()
        round_of_all()
        before = at_rest(d)
        round_of_all()
        round_of_all()
        wait_until(lambda: all(everything(d)[k] <= before[k] for k in before),
                   what="nothing is left: %s then, %s now" % (before, everything(d)))
    finally:
        shutil.rmtree(place, ignore_errors=True)
