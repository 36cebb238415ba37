"""The local loop: `lambkin dev` keeps what is saved running."""

import concurrent.futures
import os
import re
import signal
import subprocess
import threading

import pytest

from harness import binary, unique_name, wait_until


class Dev:
    """`lambkin dev FOLDER`, with what it has printed so far."""

    def __init__(self, daemon, folder, name, *flags):
        self.text = {"out": "", "err": ""}
        self.process = subprocess.Popen(
            [binary(), "dev", folder, "--name", name, *flags], env=daemon.cli_environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            bufsize=1)
        self.threads = [threading.Thread(target=self._read, args=(which, stream))
                        for which, stream in (("out", self.process.stdout),
                                              ("err", self.process.stderr))]
        for thread in self.threads:
            thread.start()

    def _read(self, which, stream):
        for line in stream:
            self.text[which] += line

    def wait_for(self, which, text, times=1):
        wait_until(lambda: self.text[which].count(text) >= times or self.process.poll() is not None,
                   what="%r in %r" % (text, self.text))
        assert self.text[which].count(text) >= times, self.text

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        for thread in self.threads:
            thread.join()
        return code


@pytest.fixture
def dev(daemon, scratch):
    """dev(files) starts it on a folder; ended and its function deleted afterwards."""
    started = []

    def start(files, *flags, on=None):
        folder, name = os.path.join(scratch, "f%d" % len(started)), unique_name("dev")
        for path, text in files.items():
            save(folder, path, text)
        d = Dev(on or daemon, folder, name, *flags)
        d.folder, d.name = folder, name
        started.append((d, on))
        d.wait_for("err", "watching")
        return d

    yield start
    for d, on in started:
        d.end()
        if on is None:
            daemon.cli("rm", d.name)


def save(folder, path, text):
    """As most editors do: a new file under another name, then renamed."""
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + "~new", "w") as f:
        f.write(text)
    os.rename(path + "~new", path)


def answer_becomes(daemon, name, wanted):
    wait_until(lambda: daemon.cli("invoke", name).stdout == wanted, what="answer %r" % wanted)


def handler(value):
    return "def handler(event, context):\n    return %r\n" % (value,)


def test_saved_code_is_live_and_logged(daemon, dev):
    d = dev({"app.py": handler(1)})
    assert daemon.cli("invoke", d.name).stdout == "1\n"
    save(d.folder, "app.py", "def handler(event, context):\n    print('printed once')\n    return 2\n")
    d.wait_for("err", "app.py")
    d.wait_for("err", "ms after it was saved")
    answer_becomes(daemon, d.name, "2\n")
    d.wait_for("out", "printed once")
    d.wait_for("out", "REPORT RequestId")
    # written in place, in two halves: the end is what counts
    with open(os.path.join(d.folder, "app.py"), "w") as f:
        f.write("def handler(event, context):\n    ret")
        f.flush()
        os.fsync(f.fileno())
        f.write("urn 3\n")
    answer_becomes(daemon, d.name, "3\n")
    assert d.end() == 0
    assert "stays deployed" in d.text["err"]
    assert daemon.cli("invoke", d.name).stdout == "3\n"


def test_no_line_is_lost_between_environments(daemon, dev):
    """Streams are written at their own pace; every line is shown, and once."""
    d = dev({"app.py": "def handler(event, context):\n    print('line <%d>' % event)\n"})
    numbers = list(range(60))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        lam = daemon.client("lambda")
        list(pool.map(lambda n: lam.invoke(FunctionName=d.name, Payload=str(n)), numbers))
    wait_until(lambda: all("line <%d>" % n in d.text["out"] for n in numbers))
    d.end()
    assert sorted(int(n) for n in re.findall(r"line <(\d+)>", d.text["out"])) == numbers


def test_new_folders_are_watched(daemon, dev):
    d = dev({"app.py": "def handler(event, context):\n    from part import value\n"
                       "    return value.VALUE\n"})
    save(d.folder, "part/value.py", "VALUE = 'a'\n")
    answer_becomes(daemon, d.name, '"a"\n')
    save(d.folder, "part/value.py", "VALUE = 'b'\n")
    answer_becomes(daemon, d.name, '"b"\n')
    os.rename(os.path.join(d.folder, "part"), os.path.join(d.folder, "gone"))
    wait_until(lambda: "part" in daemon.cli("invoke", d.name).stdout, what="part is gone")
    os.rename(os.path.join(d.folder, "gone"), os.path.join(d.folder, "part"))
    answer_becomes(daemon, d.name, '"b"\n')


def test_mistakes_do_not_end_it(daemon, dev):
    d = dev({"app.py": handler(1)})
    save(d.folder, "app.py", "def handler(event, context:\n")
    wait_until(lambda: "SyntaxError" in daemon.cli("invoke", d.name).stdout)
    save(d.folder, "app.py", handler(2))
    answer_becomes(daemon, d.name, "2\n")
    os.unlink(os.path.join(d.folder, "app.py"))
    d.wait_for("err", "holds no files")
    save(d.folder, "app.py", handler(3))
    answer_becomes(daemon, d.name, "3\n")
    # deleted by somebody else: made anew with the next change
    assert daemon.cli("rm", d.name).returncode == 0
    save(d.folder, "app.py", handler(4))
    d.wait_for("err", "created", times=2)
    answer_becomes(daemon, d.name, "4\n")
    assert d.process.poll() is None


def test_flags_and_a_daemon_that_forgets(new_daemon, dev):
    daemon = new_daemon()
    d = dev({"app.py": "import os\ndef handler(event, context):\n    return os.environ['XY']\n"},
            "--env", "XY=z", "--timeout", "9", on=daemon)
    assert daemon.cli("invoke", d.name).stdout == '"z"\n'
    daemon.kill()
    d.wait_for("err", "waiting for the daemon")
    daemon.start()
    d.wait_for("err", "updated")
    answer_becomes(daemon, d.name, '"z"\n')
    assert daemon.client("lambda").get_function(FunctionName=d.name)["Configuration"]["Timeout"] == 9


def test_wrong_calls(daemon, scratch):
    assert daemon.cli("dev").returncode == 2
    absent = daemon.cli("dev", os.path.join(scratch, "absent"))
    assert absent.returncode == 1 and "is not a folder" in absent.stderr
    empty = daemon.cli("dev", scratch)
    assert empty.returncode == 1 and "holds no files" in empty.stderr
    assert daemon.cli("dev", scratch, "--timeout", "soon").returncode == 2
