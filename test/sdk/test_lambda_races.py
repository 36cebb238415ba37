"""Everything at once on a few names: no call fails in us, none is forgotten."""

import random
import threading
import time

from botocore.exceptions import ClientError

from harness import ROLE, build_zip, unique_name

SECONDS = 8
THREADS = 8


def package(rnd):
    return build_zip({"app.py": "def handler(e, c): return %d\n" % rnd.randrange(5)})


def one_step(lam, name, rnd):
    arn = "arn:aws:lambda:us-east-1:000000000000:function:" + name
    what = rnd.randrange(12)
    if what < 2:
        lam.create_function(FunctionName=name, Runtime="python3.11", Role=ROLE, Timeout=20,
                            Handler="app.handler", Code={"ZipFile": package(rnd)},
                            Publish=rnd.random() < 0.5)
    elif what == 2:
        lam.delete_function(FunctionName=name)
    elif what == 3:
        lam.update_function_code(FunctionName=name, ZipFile=package(rnd))
    elif what == 4:
        lam.update_function_configuration(FunctionName=name, Timeout=rnd.randrange(10, 20))
    elif what == 5:
        lam.publish_version(FunctionName=name)
    elif what == 6:
        lam.create_alias(FunctionName=name, Name="a", FunctionVersion="1")
    elif what == 7:
        lam.get_function(FunctionName=name)
        lam.list_functions(FunctionVersion="ALL")
    elif what == 8:
        lam.tag_resource(Resource=arn, Tags={"a": str(rnd.random())})
    else:
        lam.invoke(FunctionName=name, Payload=b"{}")["Payload"].read()


def test_everything_at_once(new_daemon):
    d = new_daemon()
    lam = d.client("lambda")
    names = [unique_name("race") for _ in range(6)]
    end = time.monotonic() + SECONDS
    bad, steps = [], []

    def work(seed):
        rnd = random.Random(seed)
        while time.monotonic() < end:
            try:
                one_step(lam, rnd.choice(names), rnd)
                steps.append(1)
            except ClientError as e:
                if e.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                    bad.append(e.response)
            except Exception as e:  # a time-out: an answer that never came
                bad.append(e)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(SECONDS + 150)
    assert not [t for t in threads if t.is_alive()], "a call hangs"
    assert not bad, bad[0]
    assert steps
    # What is there now is also there after a restart, version by version.
    before = lam.list_functions(FunctionVersion="ALL")["Functions"]
    d.restart()
    after = d.client("lambda").list_functions(FunctionVersion="ALL")["Functions"]
    assert after == before
