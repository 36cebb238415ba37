"""Drives a headless Chromium over the DevTools protocol: real pages, real scripts, real rules.

Nothing but the standard library and the browser itself. A Browser is one process with a profile of
its own; open() loads a page in a tab of its own, and Page.run() evaluates an expression there,
waiting for promises.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from harness import PATIENCE_S, clean_environment
from websocket_kit import WebSocket

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

FLAGS = [
    "--headless", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--mute-audio", "--no-proxy-server",
    "--remote-debugging-port=0", "--remote-allow-origins=*",
]


class NoBrowser(Exception):
    """There is none here, or it cannot start; the text says which."""


class Browser:
    def __init__(self, *flags):
        program = next((p for p in map(shutil.which, NAMES) if p), None)
        if not program:
            raise NoBrowser("no Chromium (Debian's chromium-headless-shell)")
        self.home = tempfile.mkdtemp(prefix="lambkin-browser-")
        command = [program, *FLAGS, "--user-data-dir=" + self.home, *flags]
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium's own sandbox refuses to run as root
        with open(os.path.join(self.home, "log"), "wb") as log:
            self.process = subprocess.Popen(
                command + ["about:blank"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=clean_environment(HOME=self.home), start_new_session=True)
        self.socket, self.last, self.events = None, 0, []
        try:
            self.socket = self.connect()
            self.version = self.ask("Browser.getVersion")["product"]
        except Exception as e:
            with open(os.path.join(self.home, "log"), errors="replace") as f:
                why = f.read()[-500:]
            self.close()
            raise NoBrowser("Chromium does not start here: %r %s" % (e, why))

    def connect(self):
        path = os.path.join(self.home, "DevToolsActivePort")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with open(path) as f:
                    port, place = f.read().split("\n")
                return WebSocket(int(port), "127.0.0.1:" + port, place, timeout=PATIENCE_S)
            except (OSError, ValueError):
                if self.process.poll() is not None:
                    raise RuntimeError("it ended with %d" % self.process.returncode)
                if time.monotonic() > deadline:
                    raise RuntimeError("it did not get ready")
                time.sleep(0.05)

    def receive(self):
        """The next message, whatever it is about."""
        return json.loads(self.socket.message())

    def ask(self, method, session=None, **parameters):
        self.last += 1
        mine = self.last
        message = {"id": mine, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        while True:
            answer = self.receive()
            if answer.get("id") == mine:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def wait(self, session, method):
        """The parameters of the next such event."""
        while True:
            for i, e in enumerate(self.events):
                if e["method"] == method and e.get("sessionId") == session:
                    del self.events[i]
                    return e["params"]
            e = self.receive()
            if "method" in e:
                self.events.append(e)

    def open(self, url):
        return Page(self, url)

    def close(self):
        if self.socket:
            self.socket.sock.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE_S)
        # Its helpers may still be writing to the profile as they end.
        shutil.rmtree(self.home, ignore_errors=True)


class Page:
    def __init__(self, browser, url):
        self.browser = browser
        self.target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=self.target,
                                   flatten=True)["sessionId"]
        browser.ask("Page.enable", self.session)
        self.go(url)

    def go(self, url):
        done = self.browser.ask("Page.navigate", self.session, url=url)
        assert not done.get("errorText"), (url, done["errorText"])
        self.browser.wait(self.session, "Page.loadEventFired")

    def run(self, script):
        """The value of an expression; a promise's once it is settled. What it throws fails."""
        answer = self.browser.ask("Runtime.evaluate", self.session, expression=script,
                                  awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)
