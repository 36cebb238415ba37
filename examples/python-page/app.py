"""A web page at a function URL: HTML, a form, a cookie, a redirect; nothing but the standard library.

    lambkin deploy examples/python-page
    lambkin url python-page --create

and open what is printed in a browser. The same file works behind a function URL on AWS.
"""

import base64
import html
import urllib.parse

PAGE = """<!doctype html>
<title>A page</title>
<h1>Hello, {name}</h1>
<p>You have been here {visits} times.</p>
<form method=post action=/name>
  <input name=name placeholder="your name"> <button>That is me</button>
</form>
"""


def cookies_of(event):
    return dict(c.split("=", 1) for c in event.get("cookies", []) if "=" in c)


def form_of(event):
    body = event.get("body", "")
    if event["isBase64Encoded"]:  # as AWS passes forms on
        body = base64.b64decode(body).decode()
    return dict(urllib.parse.parse_qsl(body))


def handler(event, context):
    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    cookies = cookies_of(event)
    if (method, path) == ("POST", "/name"):
        name = urllib.parse.quote(form_of(event).get("name", "")[:100])
        return {"statusCode": 303, "headers": {"Location": "/"},
                "cookies": ["name=%s; Path=/; HttpOnly; SameSite=Lax" % name]}
    if (method, path) == ("GET", "/"):
        visits = int(cookies.get("visits", "0")) + 1 if cookies.get("visits", "0").isdigit() else 1
        name = urllib.parse.unquote(cookies.get("name", "")) or "stranger"
        return {"statusCode": 200, "headers": {"Content-Type": "text/html; charset=utf-8"},
                "cookies": ["visits=%d; Path=/; SameSite=Lax" % visits],
                "body": PAGE.format(name=html.escape(name), visits=visits)}
    return {"statusCode": 404, "headers": {"Content-Type": "text/plain"}, "body": "nothing here"}
