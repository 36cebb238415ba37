"""A real browser (headless Chromium) against deployed functions and APIs.

Scripts of one page ask others across origins: what the browser lets them see is decided by the
headers that we send, and by nothing else.
"""

import json
import re
import sys

import pytest

from gateway_kit import Api
from harness import ROOT, Daemon, make_function

sys.path.insert(0, ROOT + "/test")

from browser import Browser, NoBrowser  # noqa: E402
from test_websocket_api import FUNCTION, WsApi  # noqa: E402

PAGE = """
import json
def handler(event, context):
    if event["rawPath"] == "/event":
        return {"statusCode": 200, "headers": {"Content-Type": "application/json", "X-E": "seen",
                                               "X-Hidden": "1"},
                "body": json.dumps(event)}
    return {"statusCode": 200, "headers": {"Content-Type": "text/html; charset=utf-8"},
            "cookies": ["session=s1; Path=/; HttpOnly; SameSite=Lax", "theme=dark; Path=/",
                        "gone=x; Path=/; Max-Age=0"],
            "body": "<!doctype html><title>lamb</title><p id=p>\\u00e4</p>"}
"""

STREAM = """
export const handler = awslambda.streamifyResponse(async (event, stream) => {
    stream = awslambda.HttpResponseStream.from(stream, {
        statusCode: 200, headers: { "content-type": "text/plain" } });
    // Longer than anybody here waits: what is read has come before the end.
    for (let i = 0; i < 600 && !stream.destroyed; i++) {
        stream.write("part" + i + ";");
        await new Promise((done) => setTimeout(done, 50));
    }
    stream.end();
});
"""


@pytest.fixture(scope="module")
def browser():
    try:
        b = Browser("--ignore-certificate-errors")
    except NoBrowser as e:
        pytest.skip(str(e))
    yield b
    b.close()


class Site:
    """A page's function URL, another origin that trusts it, and one that does not."""

    def __init__(self, daemon, browser):
        self.daemon, self.browser = daemon, browser
        self.lam = daemon.client("lambda")
        self.home = self.url(PAGE)
        self.origin = self.home.rstrip("/")
        self.friend = self.url(PAGE, Cors={
            "AllowOrigins": [self.origin], "AllowMethods": ["GET", "PUT"],
            "AllowHeaders": ["content-type", "x-k"], "ExposeHeaders": ["x-e"],
            "AllowCredentials": True, "MaxAge": 60})
        self.stranger = self.url(PAGE, Cors={
            "AllowOrigins": ["https://elsewhere.example"], "AllowMethods": ["*"]})

    def url(self, source, kind="python", **more):
        f = make_function(self.daemon, kind, source=source)
        return self.lam.create_function_url_config(FunctionName=f.name, AuthType="NONE",
                                                   **more)["FunctionUrl"]


@pytest.fixture(scope="module")
def site(browser):
    d = Daemon("--tls-port", "0", "--drain", "1s")
    yield Site(d, browser)
    d.close()


@pytest.fixture
def page(site):
    p = site.browser.open(site.home)
    yield p
    p.close()


def fetch(page, url, options="{}", see="await r.json()"):
    """What a script sees of an answer, or "refused"."""
    return page.run("""(async () => {
        try { const r = await fetch(%s, %s); return %s; }
        catch (e) { if (e instanceof TypeError) return "refused"; throw e; }
    })()""" % (json.dumps(url), options, see))


def test_a_page_at_a_function_url(page, site):
    assert re.match(r"http://\w+\.lambda-url\.us-east-1\.localhost:\d+$", site.origin)
    assert page.run("document.title") == "lamb"
    assert page.run("document.getElementById('p').textContent") == "ä"
    assert page.run("window.isSecureContext") is True
    assert page.run("location.origin") == site.origin


def test_cookies_of_a_function_url(page, site):
    # HttpOnly hides one from scripts, but not from the function; Max-Age=0 was never kept.
    assert page.run("document.cookie") == "theme=dark"
    event = fetch(page, "/event")
    assert sorted(event["cookies"]) == ["session=s1", "theme=dark"]


def test_cookies_of_an_http_api(site):
    f = make_function(site.daemon, "python", source=PAGE)
    a = Api(site.daemon)
    a.route("GET /{p+}", a.integration(f))
    page = site.browser.open(a.endpoint + "/home")
    assert page.run("document.cookie") == "theme=dark"
    event = fetch(page, "/event")
    assert sorted(event["cookies"]) == ["session=s1", "theme=dark"]
    assert event["requestContext"]["apiId"] == a.id
    page.close()
    a.gw.delete_api(ApiId=a.id)


def test_simple_requests_across_origins(page, site):
    event = fetch(page, site.friend + "event")
    assert event["headers"]["origin"] == site.origin
    assert fetch(page, site.friend + "event", see="r.headers.get('x-e')") == "seen"
    assert fetch(page, site.friend + "event", see="r.headers.get('x-hidden')") is None
    assert fetch(page, site.stranger + "event") == "refused"
    assert fetch(page, site.stranger + "event", "{mode: 'no-cors'}", "r.type") == "opaque"


def test_preflight(page, site):
    event = fetch(page, site.friend + "event", """{
        method: "PUT", headers: {"content-type": "application/json", "x-k": "1"}, body: "[1]"}""")
    assert event["requestContext"]["http"]["method"] == "PUT"
    assert event["body"] == "[1]" and event["headers"]["x-k"] == "1"
    for refused in ("{method: 'DELETE'}", "{headers: {'x-other': '1'}}",
                    "{headers: {'x-k': '1', 'x-other': '1'}}"):
        assert fetch(page, site.friend + "event", refused) == "refused", refused
    assert fetch(page, site.stranger + "event", "{method: 'PUT'}") == "refused"


def test_credentials_across_origins(page, site):
    other = site.browser.open(site.friend)  # sets its cookies
    other.close()
    event = fetch(page, site.friend + "event", "{credentials: 'include'}")
    assert sorted(event["cookies"]) == ["session=s1", "theme=dark"]
    assert "cookies" not in fetch(page, site.friend + "event", "{credentials: 'omit'}")


def test_preflight_of_an_http_api(page, site):
    f = make_function(site.daemon, "python", source="def handler(e, c):\n    return e")
    a = Api(site.daemon, CorsConfiguration={
        "AllowOrigins": ["http://*"], "AllowMethods": ["POST"], "AllowHeaders": ["x-k"],
        "MaxAge": 1})
    a.route("ANY /x", a.integration(f))
    options = "{method: 'POST', headers: {'x-k': 'v'}, body: 'b'}"
    assert fetch(page, a.endpoint + "/x", options)["headers"]["x-k"] == "v"
    assert fetch(page, a.endpoint + "/x", "{method: 'PATCH'}") == "refused"
    assert fetch(page, a.endpoint + "/x", "{credentials: 'include'}") == "refused"
    # Without CORS, OPTIONS goes to the route, whose function does not know what to say.
    a.gw.delete_cors_configuration(ApiId=a.id)
    assert fetch(page, a.endpoint + "/x", options.replace("x-k", "x-l")) == "refused"
    a.gw.delete_api(ApiId=a.id)


@pytest.mark.needs("node")
def test_chunks_arrive_before_the_end(page, site):
    url = site.url(STREAM, "node", InvokeMode="RESPONSE_STREAM", Cors={"AllowOrigins": ["*"]})
    seen = page.run("""(async () => {
        const r = await fetch(%s);
        const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
        let reads = 0, text = "", ended = false;
        while (reads < 3) {
            const { value, done } = await reader.read();
            if (done) { ended = true; break; }
            text += value; reads++;
        }
        await reader.cancel();
        return { reads, text, ended, type: r.headers.get("content-type") };
    })()""" % json.dumps(url))
    assert seen["reads"] == 3 and not seen["ended"] and seen["type"] == "text/plain"
    assert seen["text"].startswith("part0;") and "part599" not in seen["text"]


def test_websocket(page, site):
    f = make_function(site.daemon, "python", source=FUNCTION)
    a = WsApi(site.daemon, f)
    seen = page.run("""new Promise((resolve, reject) => {
        const ws = new WebSocket(%s, ["chat"]), seen = [];
        ws.binaryType = "arraybuffer";
        ws.onerror = () => reject(new Error("refused"));
        ws.onopen = () => { seen.push(ws.protocol); ws.send("hello \\u00e4"); };
        ws.onmessage = (m) => {
            const event = JSON.parse(m.data);
            seen.push(event.body, event.isBase64Encoded);
            if (seen.length === 3) ws.send(new Uint8Array([255, 0]));
            else if (seen.length === 5) ws.send("x".repeat(30000));
            else ws.close(3001, "done");
        };
        ws.onclose = (e) => resolve([...seen, e.code, e.wasClean]);
    })""" % json.dumps(a.endpoint + "/live?proto=chat"))
    assert seen == ["chat", "hello ä", False, "/wA=", True, "x" * 30000, False, 3001, True]
    refused = page.run("""new Promise((resolve) => {
        const ws = new WebSocket(%s);
        ws.onopen = () => resolve("open");
        ws.onclose = (e) => resolve(e.code);
    })""" % json.dumps(a.endpoint + "/live?status=403"))
    assert refused == 1006
    a.gw.delete_api(ApiId=a.id)


def test_a_deployed_example(site):
    """As its author would: deploy, ask for the URL, open it, fill in the form."""
    assert site.daemon.cli("deploy", ROOT + "/examples/python-page").returncode == 0
    made = site.daemon.cli("url", "python-page", "--create")
    page = site.browser.open(json.loads(made.stdout)["FunctionUrl"])
    assert page.run("document.querySelector('h1').textContent") == "Hello, stranger"
    page.run("""(() => { document.querySelector('input').value = '<Ada & Söhne> 100%';
                         document.querySelector('form').submit(); })()""")
    site.browser.wait(page.session, "Page.loadEventFired")
    assert page.run("document.querySelector('h1').textContent") == "Hello, <Ada & Söhne> 100%"
    assert page.run("location.pathname") == "/" and "name" not in page.run("document.cookie")
    assert page.run("document.querySelector('p').textContent") == "You have been here 2 times."
    page.close()


def test_https_is_http2(site):
    port = re.search(r"https://[^ :]+:(\d+)", site.daemon.ready_line).group(1)
    page = site.browser.open(re.sub(r":\d+", ":" + port, site.home.replace("http:", "https:")))
    assert page.run("document.title") == "lamb"
    assert page.run("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
    event = fetch(page, "/event", "{method: 'POST', body: 'b'.repeat(300000)}")
    assert len(event["body"]) == 300000
    assert event["requestContext"]["http"]["protocol"] == "HTTP/2.0"
    assert event["headers"]["x-forwarded-proto"] == "https"
    # A WebSocket from there takes a connection of its own, in HTTP/1.1.
    f = make_function(site.daemon, "python", source=FUNCTION)
    a = WsApi(site.daemon, f)
    url = re.sub(r":\d+", ":" + port, a.endpoint.replace("ws:", "wss:")) + "/live"
    assert page.run("""new Promise((resolve, reject) => {
        const ws = new WebSocket(%s);
        ws.onerror = () => reject(new Error("refused"));
        ws.onopen = () => ws.send("over TLS");
        ws.onmessage = (m) => { resolve(JSON.parse(m.data).body); ws.close(); };
    })""" % json.dumps(url)) == "over TLS"
    a.gw.delete_api(ApiId=a.id)
    page.close()
