"""Greets, and says where it runs."""

import json
import platform

calls = 0


def handler(event, context):
    global calls
    calls += 1
    print(json.dumps({"event": event, "call": calls}))
    return {
        "message": "Hello, %s!" % event.get("name", "world"),
        "runtime": "Python " + platform.python_version(),
        "calls of this environment": calls,
        "ms left": context.get_remaining_time_in_millis(),
    }
