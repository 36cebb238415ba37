"""The Ruby bootstrap on the Ruby of this host."""

import base64
import json
import os
import shutil

import pytest

from bootstraps import ERROR, INIT_ERROR, READY, RESPONSE, ROOT, Bootstrap

RUBY = shutil.which("ruby")
pytestmark = pytest.mark.skipif(not RUBY, reason="no ruby in PATH")


@pytest.fixture
def start(tmp_path):
    def start(code, handler="app.handler", **more):
        (tmp_path / "app.rb").write_text(code)
        env = {"LAMBDA_TASK_ROOT": str(tmp_path), **more.pop("env", {})}
        return Bootstrap([os.path.realpath(RUBY), ROOT + "/src/runtime/ruby/bootstrap.rb"], tmp_path,
                         handler, env=env, **more)

    return start


@pytest.mark.parametrize("spare", [False, True])
def test_invocations(start, spare):
    code = """
N = [0]
def handler(event:, context:)
  N[0] += 1
  { got: event, n: N[0], left: context.get_remaining_time_in_millis, colour: ENV['COLOUR'],
    name: context.function_name, id: context.aws_request_id, trace: ENV['_X_AMZN_TRACE_ID'],
    arn: context.invoked_function_arn, home: ENV['HOME'], child: `echo $COLOUR`.strip,
    client: context.client_context, where: Dir.pwd }
end
"""
    with start(code, spare=spare, env={"COLOUR": "gr\u00fcn"}) as b:
        assert b.first.kind == READY
        for n, event in enumerate(({"a": ["\u00fc", None, 1.5]}, [], "text", None, 7), 1):
            answer = b.invoke(event, client='{"custom": {"k": 1}}')
            assert answer.kind == RESPONSE
            told = answer.json
            assert told["got"] == event and told["n"] == n and 0 < told["left"] <= 30000
            assert told["colour"] == told["child"] == "gr\u00fcn"
            assert (told["name"], told["id"], told["arn"]) == ("fn", "id-1", "arn:aws:lambda:x")
            assert told["trace"] == "Root=1-2-3" and told["client"] == {"custom": {"k": 1}}
            assert told["home"] is None
        big = "x" * 5_000_000
        assert b.invoke(big).json["got"] == big


def test_errors_and_output(start):
    code = """
def handler(event:, context:)
  puts 'printed'
  warn 'warned'
  raise ArgumentError, "bad \u00fc" if event == 1
  raise Exception, 'all of them' if event == 2
  event.no_such_method
end
"""
    with start(code) as b:
        answer = b.invoke(1)
        assert answer.kind == ERROR and answer.error_type == "Function<ArgumentError>"
        assert answer.json["errorMessage"] == "bad \u00fc"
        assert "app.rb:5:in " in answer.json["stackTrace"][0]
        assert not any("bootstrap.rb" in line for line in answer.json["stackTrace"])
        assert b.invoke(2).error_type == "Function<Exception>"
        assert b.invoke(3).error_type == "Function<NoMethodError>"
        assert b.invoke(b"{not json").error_type == "Function<JSON::ParserError>"
        text = b.text()
        assert "printed" in text and "warned" in text and "Error raised from handler method" in text


@pytest.mark.parametrize("code, handler, kind", [
    ("require 'no_such_thing'", "app.handler", "Init<LoadError>"),
    ("def handler(", "app.handler", "Init<SyntaxError>"),
    ("raise 'no'", "app.handler", "Init<RuntimeError>"),
    ("", "nonsense", "Init<ArgumentError>"),
])
def test_init_errors(start, code, handler, kind):
    with start(code, handler) as b:
        assert b.first.kind == INIT_ERROR and b.first.error_type == kind
        assert json.loads(b.first.body)["errorType"] == kind


def test_bytes_and_classes(start):
    code = """
require 'stringio'
module Shop
  class Till
    def self.raw(event:, context:)
      StringIO.new("\\xff\\x00".b + event.to_s)
    end
  end
end
"""
    with start(code, "app.Shop::Till.raw") as b:
        assert b.invoke(7).body == base64.b64decode("/wA3")


def test_forked_child_is_silent(start):
    code = """
def handler(event:, context:)
  Process.wait(fork { puts 'child'; exit })
  $?.exitstatus
end
"""
    with start(code) as b:
        assert b.invoke(1).json == 0
        assert b.invoke(1).json == 0
