// code-cache.cjs - V8's compiled code of the function's CommonJS scripts, made at deployment.
//
// It lies at <root>/.v8-cache/<path of the script>, where the function cannot write: SHA-256 of the
// source and the data, then the data. A script that somebody changed on its way here (a transpiler's
// hook), data that is damaged, or made by another V8 or with other flags: compiled as without it.
'use strict';

const fs = require('fs');
const path = require('path');

const SUM = 32;
const NAMES = ['exports', 'require', 'module', '__filename', '__dirname'];

function cachedFunction(root, content, filename) {
    const vm = require('vm');
    let kept;
    try {
        kept = fs.readFileSync(root + '/.v8-cache' + filename.slice(root.length));
    } catch {
        return undefined;
    }
    if (kept.length <= SUM)
        return undefined;
    const cachedData = kept.subarray(SUM);
    const sum = require('crypto').createHash('sha256').update(content).update(cachedData).digest();
    if (sum.compare(kept, 0, SUM) !== 0)
        return undefined;
    const fn = vm.compileFunction(content, NAMES, { filename, cachedData });
    return fn.cachedDataRejected ? undefined : fn;
}

// The `require` of a module, as Node.js makes it.
function requireOf(mod, Module) {
    const own = (id) => mod.require(id);
    own.resolve = (id, options) => Module._resolveFilename(id, mod, false, options);
    own.resolve.paths = (id) => Module._resolveLookupPaths(id, mod);
    own.main = process.mainModule;
    own.extensions = Module._extensions;
    own.cache = Module._cache;
    return own;
}

exports.use = (roots) => {
    const { Module } = require('module');
    const compile = Module.prototype._compile;
    if (process.sourceMapsEnabled || process.env.NODE_V8_COVERAGE)
        return; // these want to see every script compiled
    Module.prototype._compile = function (content, filename, format) {
        const root = format === 'module' ? undefined :
            roots.find((r) => r && filename.startsWith(r + '/'));
        const fn = root && cachedFunction(root, content, filename);
        if (!fn)
            return compile.apply(this, arguments);
        return Reflect.apply(fn, this.exports, [this.exports, requireOf(this, Module), this,
            filename, path.dirname(filename)]);
    };
};
