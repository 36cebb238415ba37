"""Builds small container images with tarfile and json: OCI layouts, OCI archives, docker archives."""

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile

ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tar_of(entries):
    """A tar from [(name, kind, value, mode)]: kind file (bytes), dir, link, hard (target), dev, pipe."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, kind, value, mode in entries:
            info = tarfile.TarInfo(name)
            info.mode = mode
            info.mtime = 1700000000
            data = None
            if kind == "file":
                info.size = len(value)
                data = io.BytesIO(value)
            elif kind == "dir":
                info.type = tarfile.DIRTYPE
            elif kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, value
            elif kind == "hard":
                info.type, info.linkname = tarfile.LNKTYPE, value
            elif kind == "dev":
                info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
            elif kind == "pipe":
                info.type = tarfile.FIFOTYPE
            t.addfile(info, data)
    return out.getvalue()


def file(name, data=b"", mode=0o644):
    return (name, "file", data if isinstance(data, bytes) else data.encode(), mode)


def folder(name):
    return (name, "dir", None, 0o755)


def link(name, to):
    return (name, "link", to, 0o777)


def hard(name, to):
    return (name, "hard", to, 0o644)


class Image:
    """layers: lists of entries, lowest first. config: the image's config member."""

    def __init__(self, layers, compress=True, architecture=ARCHITECTURE, **config):
        self.tars = [layer if isinstance(layer, bytes) else tar_of(layer) for layer in layers]
        self.blobs = [gzip.compress(t, 1, mtime=0) if compress else t for t in self.tars]
        self.compress = compress
        self.config = {"architecture": architecture, "os": "linux", "config": config,
                       "rootfs": {"type": "layers",
                                  "diff_ids": ["sha256:" + sha256(t) for t in self.tars]}}

    def config_bytes(self):
        return json.dumps(self.config).encode()

    def manifest(self):
        kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if self.compress else "")
        config = self.config_bytes()
        return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                           "digest": "sha256:" + sha256(config), "size": len(config)},
                "layers": [{"mediaType": kind, "digest": "sha256:" + sha256(b), "size": len(b)}
                           for b in self.blobs]}

    def files(self, tag=None, manifest=None):
        """{name: bytes} of an OCI layout."""
        body = manifest if isinstance(manifest, bytes) else json.dumps(
            manifest or self.manifest()).encode()
        self.digest = sha256(body)
        entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json",
                 "digest": "sha256:" + self.digest, "size": len(body)}
        if tag:
            entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
                 "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
                 "blobs/sha256/" + self.digest: body,
                 "blobs/sha256/" + sha256(self.config_bytes()): self.config_bytes()}
        for b in self.blobs:
            files["blobs/sha256/" + sha256(b)] = b
        return files

    def write_layout(self, path, **more):
        return write_tree(path, self.files(**more))

    def write_oci_archive(self, path, **more):
        with open(path, "wb") as f:
            f.write(tar_of([file(n, d) for n, d in self.files(**more).items()]))
        os.chmod(path, 0o644)
        return path

    def write_docker_archive(self, path, tags=("test/image:latest",)):
        config = self.config_bytes()
        name = sha256(config)
        self.digest = name
        layers = ["%s/layer.tar" % sha256(t) for t in self.tars]
        entries = [file(name + ".json", config)]
        for layer, tar in dict(zip(layers, self.tars)).items():
            entries += [folder(os.path.dirname(layer)), file(layer, tar)]
        entries.append(file("manifest.json", json.dumps(
            [{"Config": name + ".json", "RepoTags": list(tags), "Layers": layers}])))
        with open(path, "wb") as f:
            f.write(tar_of(entries))
        os.chmod(path, 0o644)
        return path


def write_tree(path, files):
    """Readable by every user, whatever the umask."""
    os.makedirs(path, exist_ok=True)
    for name, data in files.items():
        full = os.path.join(path, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(data)
        os.chmod(full, 0o644)
    for where, _, _ in os.walk(path):
        os.chmod(where, 0o755)
    return path
