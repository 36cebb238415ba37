"""V8's code cache of a function's CommonJS scripts: made at deployment, used at the start, and never
trusted further than its checksum.
"""

import glob
import hashlib
import os
import shutil
import subprocess

import pytest

import harness

PADDING = "\n// what makes the script long enough to be worth it: %s\n" % ("x" * 5000)

INDEX = """
const lib = require('./lib/other');
const mark = 'first';
exports.handler = async (event) => {
    let write;
    try { require('fs').writeFileSync(__dirname + '/.v8-cache/index.js', 'mine'); write = 'written'; }
    catch (e) { write = e.code; }
    return {
        lib, write, mark, file: __filename, dir: __dirname, main: require.main === process.mainModule,
        same: require('./lib/other') === lib, cached: Object.keys(require.cache).sort(),
        resolved: require.resolve('./lib/other'), paths: require.resolve.paths('x')[0],
        extensions: Object.keys(require.extensions), parent: module.parent !== undefined,
        children: module.children.map((m) => m.id), dynamic: await require('./lib/dynamic')(),
        line: new Error('x').stack.split('\\n')[1].replace(/^.*\\//, ''), json: require('./data.json'),
        sloppy: (function () { return this === globalThis; })(), self: exports === module.exports,
    };
};
""" + PADDING
OTHER = "exports.name = 'other';\nexports.that = this === module.exports;\nexports.by = module.parent.id;\n" + PADDING
DYNAMIC = "module.exports = async () => (await import('./module.mjs')).default;\n" + PADDING
FILES = {"index.js": INDEX, "lib/other.js": OTHER, "lib/dynamic.js": DYNAMIC, "data.json": "[1]",
         "lib/module.mjs": "export default 'dynamic';\n"}


@pytest.fixture
def deployed(new_daemon):
    d = new_daemon()
    f = harness.make_function(d, "node", files=FILES, handler="index.handler")
    found = glob.glob(os.path.join(d.data_dir, "code", "*", ".v8-cache"))
    if not found:
        version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
        raise AssertionError("there is no code cache; Node.js %s\n%s" % (version, d.log_text()))
    return d, f, found[0]


def anew(f, n=[0]):
    """The answer of a new environment."""
    n[0] += 1
    f.lam.update_function_configuration(FunctionName=f.name, Description="round %d" % n[0])
    f.wait_active()
    return f.call()


def test_the_script_notices_nothing(deployed):
    d, f, cache = deployed
    assert sorted(os.listdir(cache)) == ["index.js", "lib"]
    assert os.listdir(os.path.join(cache, "lib")) == ["other.js"]  # no import(), not too short
    with_cache = anew(f)
    assert with_cache["write"] in ("EROFS", "EACCES", "EPERM")
    assert with_cache["lib"]["name"] == "other" and with_cache["mark"] == "first"
    shutil.rmtree(cache)
    without = anew(f)
    without["write"] = with_cache["write"]
    assert with_cache == without


# Sees to it that a cache is really used: the data of another script of the same length.
OTHERS_DATA = """
const vm = require('vm'), fs = require('fs');
const fn = vm.compileFunction(fs.readFileSync(0, 'utf8'),
    ['exports', 'require', 'module', '__filename', '__dirname'], { produceCachedData: true,
        filename: 'x' });
process.stdout.write(fn.cachedData);
"""


def test_it_is_used_and_damage_is_not(deployed):
    d, f, cache = deployed
    file = os.path.join(cache, "index.js")
    with open(file, "rb") as opened:
        good = opened.read()
    other = INDEX.replace("'first'", "'other'")
    data = subprocess.run(["node", "-e", OTHERS_DATA], input=other.encode(), capture_output=True,
                          check=True, env=harness.clean_environment(NODE_EXTRA_CA_CERTS="")).stdout
    forged = hashlib.sha256(INDEX.encode() + data).digest() + data

    def put(content):
        with open(file + ".new", "wb") as opened:
            opened.write(content)
        os.rename(file + ".new", file)
    put(forged)
    assert anew(f)["mark"] == "other"
    for damaged in (b"", good[:20], good[:32], good[:100], good[:-1], good + b"x",
                    good[:200] + bytes([good[200] ^ 1]) + good[201:], bytes(len(good)),
                    hashlib.sha256(INDEX.encode() + b"junk" * 50).digest() + b"junk" * 50,
                    hashlib.sha256(INDEX.encode() + data[:-8]).digest() + data[:-8]):
        put(damaged)
        assert anew(f)["mark"] == "first"


def test_a_package_cannot_lead_the_compiler_astray(new_daemon):
    """A .v8-cache of the package's own, and links in it."""
    d = new_daemon()
    f = harness.make_function(d, "node", handler="index.handler", files={
        **FILES, ".v8-cache/lib": "a file where a folder is wanted", ".v8-cache/index.js": "junk"})
    assert f.call()["mark"] == "first"
