// bootstrap.cjs - the managed runtime of Node.js functions, 18 and newer.
//
// Speaks the framed protocol of src/runtime/framed.h on descriptor 3: waits for INIT (the function's
// identity may come long after the process, when it waited as a spare), loads the handler, then
// answers INVOKE frames one by one. Behaves towards the function as AWS's runtime does: event,
// context, callback rules, error shapes, console format, response streaming.
//
// Between invocations the process sleeps in a blocking read: nothing of the function runs then, as
// in a frozen environment. Only what is needed is loaded: no stdout object, no net, no ESM loader
// until the handler is an ES module, no streams until a handler streams.
'use strict';

const fs = require('fs');

let control = 3;
const HEADER = 16; // u32 length, u8 type, u8 flags, u16 zero, u64 sequence; little-endian
const INIT = 1, INVOKE = 2, RESTORE = 3, BESIDE = 4, RESTORED = 26;
const READY = 16, INIT_ERROR = 17, RESPONSE = 18, ERROR = 19;
const STREAM_BEGIN = 20, STREAM_CHUNK = 21, STREAM_END = 22, STREAM_ERROR = 23;
const LOG = 24, NEXT = 25;
const REHEARSED = 255; // the end of a rehearsal: never on the wire
const LEAVING = 1; // flag of an error: the process ends

const HANDLER_STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HANDLER_HIGH_WATER = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

// ---- frames ------------------------------------------------------------------------------------

function header(type, sequence, length) {
    const h = Buffer.allocUnsafe(HEADER);
    h.writeUInt32LE(length, 0);
    h.writeUInt32LE(type, 4);
    h.writeUInt32LE(sequence % 0x100000000, 8);
    h.writeUInt32LE(Math.floor(sequence / 0x100000000), 12);
    return h;
}

// A frame of a stream is on its way on another thread: what comes meanwhile waits for it.
let writing = false;
let held = [];

function writeAll(data) {
    let at = 0;
    while (at < data.length) {
        try {
            at += fs.writeSync(control, data, at);
        } catch (e) {
            if (e.code !== 'EAGAIN')
                process.reallyExit(0); // the platform has gone
        }
    }
}

function send(type, sequence, body, flags = 0) {
    const frame = Buffer.allocUnsafe(HEADER + body.length);
    header(type | flags << 8, sequence, body.length).copy(frame);
    body.copy(frame, HEADER);
    if (writing)
        held.push(frame);
    else
        writeAll(frame);
}

function sendText(type, sequence, text) {
    const length = Buffer.byteLength(text);
    const frame = Buffer.allocUnsafe(HEADER + length);
    header(type, sequence, length).copy(frame);
    frame.write(text, HEADER);
    if (writing)
        held.push(frame);
    else
        writeAll(frame);
}

function flushHeld() {
    writing = false;
    for (const frame of held.splice(0))
        writeAll(frame);
}

// Blocks on a thread of the pool while the platform holds the stream back.
function sendAsync(type, sequence, body, callback) {
    const frame = Buffer.concat([header(type, sequence, body.length), body]);
    const step = (at) => {
        fs.write(control, frame, at, frame.length - at, null, (err, n) => {
            if (err && err.code !== 'EAGAIN')
                process.reallyExit(0);
            at += n || 0;
            if (at < frame.length)
                return step(at);
            flushHeld();
            callback();
        });
    };
    writing = true;
    step(0);
}

let input = Buffer.allocUnsafeSlow(65536);
let inputFrom = 0, inputTo = 0;

function fill(needed) {
    if (inputFrom + needed > input.length) {
        const bigger = needed > input.length ? Buffer.allocUnsafeSlow(needed) : input;
        input.copy(bigger, 0, inputFrom, inputTo);
        input = bigger;
        inputTo -= inputFrom;
        inputFrom = 0;
    }
    while (inputTo - inputFrom < needed) {
        let n;
        try {
            n = fs.readSync(control, input, inputTo, input.length - inputTo, null);
        } catch (e) {
            if (e.code === 'EAGAIN' || e.code === 'EINTR') {
                Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
                continue;
            }
            n = 0;
        }
        if (n === 0)
            process.reallyExit(0); // the platform has gone
        inputTo += n;
    }
}

// The next frame; its body is valid until the next call.
function receive() {
    if (inputFrom === inputTo) {
        inputFrom = inputTo = 0;
        if (input.length > 1 << 20)
            input = Buffer.allocUnsafeSlow(65536);
    }
    fill(HEADER);
    const length = input.readUInt32LE(inputFrom);
    fill(HEADER + length);
    const frame = {
        type: input[inputFrom + 4],
        sequence: input.readUInt32LE(inputFrom + 8) + input.readUInt32LE(inputFrom + 12) * 0x100000000,
        body: input.subarray(inputFrom + HEADER, inputFrom + HEADER + length),
    };
    inputFrom += HEADER + length;
    return frame;
}

// ---- errors ------------------------------------------------------------------------------------

function runtimeError(name) {
    const type = class extends Error {};
    type.prototype.name = `Runtime.${name}`;
    return type;
}
const ImportModuleError = runtimeError('ImportModuleError');
const HandlerNotFound = runtimeError('HandlerNotFound');
const MalformedHandlerName = runtimeError('MalformedHandlerName');
const UserCodeSyntaxError = runtimeError('UserCodeSyntaxError');
const MalformedStreamingHandler = runtimeError('MalformedStreamingHandler');
const InvalidStreamingOperation = runtimeError('InvalidStreamingOperation');
class UnhandledPromiseRejection extends runtimeError('UnhandledPromiseRejection') {
    constructor(reason, promise) {
        super(reason);
        this.reason = reason;
        this.promise = promise;
    }
}

function looksLikeError(e) {
    return e instanceof Error || (e && typeof e.name === 'string' && e.name &&
        typeof e.message === 'string' && e.message && typeof e.stack === 'string' && e.stack);
}

// The shape that callers see.
function describe(error) {
    try {
        if (looksLikeError(error) || require('util').types.isNativeError(error)) {
            return {
                errorType: error.name,
                errorMessage: error.message,
                trace: String(error.stack).split('\n'),
            };
        }
        return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
    } catch {
        return {
            errorType: 'handled',
            errorMessage: 'callback called with Error argument, but there was a problem while ' +
                'retrieving one or more of its message, name, and stack',
        };
    }
}

function asError(e) {
    return e instanceof Error ? e : new Error(e);
}

// The shape in the log: with the error's own enumerable members.
function describeForLog(error) {
    try {
        return '\t' + JSON.stringify(error, (_key, value) => {
            if (!(value instanceof Error))
                return value;
            const out = Object.assign(
                { errorType: value.name, errorMessage: value.message, code: value.code }, value);
            if (typeof value.stack === 'string')
                out.stack = value.stack.split('\n');
            return out;
        });
    } catch {
        return '\t' + JSON.stringify(describe(error));
    }
}

function sendError(type, sequence, error, flags = 0) {
    const what = describe(error);
    const name = Buffer.from(String(what.errorType));
    const size = Buffer.allocUnsafe(4);
    size.writeUInt32LE(name.length, 0);
    send(type, sequence, Buffer.concat([size, name, Buffer.from(JSON.stringify(what))]), flags);
}

// ---- logs --------------------------------------------------------------------------------------

let requestId;
let tenantId;
let logError = () => {};

// A message is one log event, whatever newlines it holds.
function logLine(text) {
    sendText(LOG, Date.now(), text);
}

function logText(level, args) {
    const text = typeof args[0] === 'string' && args.length === 1 ? args[0] :
        require('util').format(...args);
    logLine(`${new Date().toISOString()}\t${requestId}\t${level}\t${text}`);
}

function errorMembers(e) {
    return {
        errorType: e?.constructor?.name ?? 'UnknownError',
        errorMessage: e.message,
        stackTrace: typeof e.stack === 'string' ? e.stack.split('\n') : e.stack,
    };
}

function logJson(level, args) {
    const util = require('util');
    const out = { timestamp: new Date().toISOString(), level, requestId };
    if (tenantId !== undefined)
        out.tenantId = tenantId;
    let text;
    if (args.length === 1) {
        out.message = args[0];
        try {
            text = JSON.stringify(out, (_key, value) =>
                value instanceof Error ? Object.assign(errorMembers(value), value) : value);
        } catch {
            out.message = util.format(args[0]);
            text = JSON.stringify(out);
        }
    } else {
        out.message = util.format(...args);
        const error = args.find((a) => a instanceof Error);
        if (error)
            Object.assign(out, errorMembers(error));
        text = JSON.stringify(out);
    }
    logLine(text);
}

function patchConsole() {
    const json = (process.env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
    const log = json ? logJson : logText;
    const levels = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
    const least = Math.max(0, levels.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()));
    for (const [at, level] of levels.entries()) {
        console[level.toLowerCase()] = at >= least || level === 'FATAL' ?
            (...args) => log(level, args) : () => {};
    }
    console.log = console.info;
    logError = json ? (_what, e) => console.error(asError(e)) :
        (what, e) => console.error(what, describeForLog(asError(e)));
}

// ---- loading the handler -----------------------------------------------------------------------

function isModuleFolder(folder, path) {
    for (; ; folder = path.dirname(folder)) {
        if (folder.endsWith('/node_modules'))
            return false;
        const file = path.join(folder, 'package.json');
        if (!isFile(file)) {
            if (folder === '/')
                return false;
            continue;
        }
        try {
            return JSON.parse(fs.readFileSync(file, 'utf8'))?.type === 'module';
        } catch (e) {
            console.warn(`${folder}/package.json cannot be read, it will be ignored for ` +
                'ES module detection purposes.', e);
            return false;
        }
    }
}

function look(path) {
    try {
        return fs.statSync(path, { throwIfNoEntry: false });
    } catch {
        return undefined; // no folder, no permission
    }
}

function isFile(path) {
    return look(path)?.isFile() === true;
}

function isFolder(path) {
    return look(path)?.isDirectory() === true;
}

let codeCache;

// A part of the bootstrap, which functions do not see among their modules.
function loadCodeCache() {
    if (!codeCache) {
        const before = module.children.length;
        codeCache = require('./code-cache.cjs');
        delete require.cache[require.resolve('./code-cache.cjs')];
        module.children.length = before;
    }
    return codeCache;
}

function importFile(file) {
    return import(require('url').pathToFileURL(file).href);
}

async function loadModule(root, moduleRoot, name) {
    const path = require('path');
    const file = path.resolve(root, moduleRoot, name);
    if (isFile(file))
        return require(file);
    if (isFile(file + '.js'))
        return isModuleFolder(path.dirname(file), path) ? importFile(file + '.js') : require(file + '.js');
    if (isFile(file + '.mjs'))
        return importFile(file + '.mjs');
    if (isFile(file + '.cjs'))
        return require(file + '.cjs');
    return require(require.resolve(name, { paths: [root, path.resolve(root, moduleRoot)] }));
}

async function loadHandler(root, name) {
    if (name.includes('..'))
        throw new MalformedHandlerName(`'${name}' is not a valid handler name. Use absolute paths ` +
            'when specifying root directories in handler names.');
    const slash = name.lastIndexOf('/') + 1;
    const dot = name.indexOf('.', slash);
    if (dot < 0)
        throw new MalformedHandlerName('Bad handler');
    let found;
    try {
        found = await loadModule(root, name.slice(0, slash), name.slice(slash, dot));
    } catch (e) {
        if (e instanceof SyntaxError)
            throw new UserCodeSyntaxError(e);
        if (e && e.code === 'MODULE_NOT_FOUND')
            throw new ImportModuleError(e);
        throw e;
    }
    for (const key of name.slice(dot + 1).split('.'))
        found = found && found[key];
    if (!found)
        throw new HandlerNotFound(`${name} is undefined or not exported`);
    if (typeof found !== 'function')
        throw new HandlerNotFound(`${name} is not a function`);
    return found;
}

// ---- response streaming ------------------------------------------------------------------------

class HttpResponseStream {
    static from(stream, prelude) {
        stream.setContentType('application/vnd.awslambda.http-integration-response');
        const text = JSON.stringify(prelude);
        stream._onBeforeFirstWrite = (write) => {
            write(text);
            write(new Uint8Array(8));
        };
        return stream;
    }
}

function makeStream(sequence, highWaterMark) {
    const { Writable } = require('stream');
    let contentType = 'application/octet-stream';
    let begun = false;
    const begin = () => {
        if (begun)
            return;
        begun = true;
        sendText(STREAM_BEGIN, sequence, contentType);
    };
    const stream = new Writable({
        highWaterMark,
        decodeStrings: true,
        write(chunk, _encoding, done) {
            begin();
            sendAsync(STREAM_CHUNK, sequence, chunk, done);
        },
        writev(chunks, done) {
            begin();
            sendAsync(STREAM_CHUNK, sequence, Buffer.concat(chunks.map((c) => c.chunk)), done);
        },
        final(done) {
            if (typeof stream._onBeforeFirstWrite === 'function' && !touched) {
                touched = true;
                const pieces = [];
                stream._onBeforeFirstWrite((p) => pieces.push(Buffer.from(p)));
                begin();
                send(STREAM_CHUNK, sequence, Buffer.concat(pieces));
            }
            begin();
            send(STREAM_END, sequence, Buffer.alloc(0));
            done();
        },
    });
    let touched = false;
    const write = stream.write.bind(stream);
    stream.write = (chunk, encoding, callback) => {
        if (typeof chunk !== 'string' && !Buffer.isBuffer(chunk) && !(chunk instanceof Uint8Array))
            chunk = JSON.stringify(chunk);
        if (!touched) {
            touched = true;
            if (typeof stream._onBeforeFirstWrite === 'function')
                stream._onBeforeFirstWrite((piece) => write(piece));
        }
        return write(chunk, encoding, callback);
    };
    const end = stream.end.bind(stream);
    stream.end = (chunk, encoding, callback) => {
        if (typeof chunk === 'function')
            return end(chunk);
        if (chunk !== undefined && chunk !== null)
            stream.write(chunk, typeof encoding === 'function' ? undefined : encoding);
        return end(typeof encoding === 'function' ? encoding : callback);
    };
    stream.setContentType = (type) => {
        if (begun || touched)
            throw new InvalidStreamingOperation('Cannot set content-type, too late.');
        contentType = type;
    };
    return stream;
}

// ---- invocations -------------------------------------------------------------------------------

let handler;
let streaming;
let highWaterMark;
let whenLoopEmpty = () => {};
let onFatal = () => process.reallyExit(70); // (error, exit status)
let rehearsed;

function stringify(result) {
    try {
        return JSON.stringify(result === undefined ? null : result) ?? '';
    } catch {
        throw new Error('Unable to stringify response body');
    }
}

function parseMember(text, name) {
    if (text === '')
        return undefined;
    try {
        return JSON.parse(text);
    } catch (e) {
        throw new Error(`Cannot parse ${name} as json: ${e.toString()}`);
    }
}

function readInvoke(frame) {
    const body = frame.body;
    const deadline = body.readUInt32LE(0) + body.readUInt32LE(4) * 0x100000000;
    const fields = [];
    let at = 32;
    for (let i = 0; i < 6; i++) {
        const n = body.readUInt32LE(8 + 4 * i);
        fields.push(n === 0 ? '' : body.toString('utf8', at, at + n));
        at += n;
    }
    const [id, arn, trace, client, identity, tenant] = fields;
    requestId = id;
    tenantId = tenant || undefined;
    return { sequence: frame.sequence, deadline, id, arn, trace, client, identity,
        payload: body.toString('utf8', at) };
}

function fillContext(context, call) {
    if (call.trace)
        process.env._X_AMZN_TRACE_ID = call.trace;
    else
        delete process.env._X_AMZN_TRACE_ID;
    const env = process.env;
    return Object.assign(context, {
        functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
        functionName: env.AWS_LAMBDA_FUNCTION_NAME,
        memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
        logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
        logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
        clientContext: parseMember(call.client, 'ClientContext'),
        identity: parseMember(call.identity, 'CognitoIdentity'),
        invokedFunctionArn: call.arn,
        awsRequestId: call.id,
        tenantId,
        getRemainingTimeInMillis: () => call.deadline - Date.now(),
    });
}

function isPromise(value) {
    return value && typeof value.then === 'function';
}

function failFatally(sequence) {
    onFatal = (error, status) => {
        sendError(ERROR, sequence, error, LEAVING);
        process.exit(status);
    };
}

function invoke(call) {
    const { sequence } = call;
    let waits = true;
    let completed = false;
    let finished = false;
    const respond = (result) => {
        if (completed) {
            console.error('Invocation has already been reported as done. ' +
                'Cannot call complete more than once per invocation.');
            return;
        }
        const text = stringify(result);
        completed = true;
        sendText(RESPONSE, sequence, text);
        setImmediate(next);
    };
    const fail = (error) => {
        logError('Invoke Error', error);
        completed = true;
        sendError(ERROR, sequence, error);
        setImmediate(next);
    };
    const once = (fn) => (...args) => {
        if (!finished) {
            fn(...args);
            finished = true;
        }
    };
    const present = (e) => e !== undefined && e !== null;
    const done = (error, result) => {
        whenLoopEmpty = () => {};
        if (present(error))
            fail(error);
        else
            respond(result);
    };
    const callback = once((error, result) => {
        whenLoopEmpty = () => {};
        if (present(error))
            fail(error);
        else if (!waits)
            respond(result);
        else
            whenLoopEmpty = () => setImmediate(() => {
                whenLoopEmpty = () => {};
                try {
                    respond(result);
                } catch (e) {
                    fail(e);
                }
            });
    });
    const context = {
        get callbackWaitsForEmptyEventLoop() {
            return waits;
        },
        set callbackWaitsForEmptyEventLoop(value) {
            waits = value;
        },
        succeed: once((result) => done(null, result)),
        fail: once((error) => done(present(error) ? error : 'handled', null)),
        done: once(done),
    };
    failFatally(sequence);
    // Nobody answers any more when the loop runs empty before the handler did: null, as on AWS.
    whenLoopEmpty = () => {
        whenLoopEmpty = () => {};
        finished = true;
        completed = true;
        sendText(RESPONSE, sequence, 'null');
        setImmediate(next);
    };
    try {
        const event = JSON.parse(call.payload);
        const result = handler(event, fillContext(context, call), callback);
        if (isPromise(result))
            result.then(context.succeed, context.fail).catch(context.fail);
    } catch (e) {
        callback(e);
    }
}

async function invokeStreaming(call) {
    const { sequence } = call;
    let waits = true;
    const context = {
        get callbackWaitsForEmptyEventLoop() {
            return waits;
        },
        set callbackWaitsForEmptyEventLoop(value) {
            waits = value;
        },
    };
    const stream = makeStream(sequence, highWaterMark);
    const proceed = () => {
        whenLoopEmpty = () => {};
        send(NEXT, sequence, Buffer.alloc(0));
        setImmediate(next);
    };
    const finish = () => {
        if (waits)
            whenLoopEmpty = () => setImmediate(proceed);
        else
            proceed();
    };
    let failed = false;
    const fail = (error) => {
        if (failed)
            return;
        failed = true;
        logError('Invoke Error', error);
        if (!stream.writableFinished) {
            stream.destroy();
            sendError(STREAM_ERROR, sequence, error);
        }
        finish();
    };
    failFatally(sequence);
    onFatal = (error, status) => {
        sendError(STREAM_ERROR, sequence, error, LEAVING);
        process.exit(status);
    };
    whenLoopEmpty = () => setImmediate(() => fail('Response stream is not finished.'));
    stream.on('error', fail);
    try {
        const event = JSON.parse(call.payload);
        const result = handler(event, stream, fillContext(context, call));
        if (!isPromise(result))
            return fail('Streaming does not support non-async handlers.');
        if (await result !== undefined)
            console.warn('Streaming handlers ignore return values.');
        if (!stream.writableFinished && !stream.destroyed)
            await new Promise((resolve) => stream.once('close', resolve).once('finish', resolve));
        if (!stream.writableFinished)
            return fail('Response stream is not finished.');
        if (!failed)
            finish();
    } catch (e) {
        fail(e);
    }
}

// Beside extensions an environment is not at rest before these are, and what the function left to be
// done (a post to one of them) goes on until then: the loop runs while it waits.
let beside = false;

// The platform has closed its end. A function that wants to hear SIGTERM hears it first: the signal
// takes a longer way than the end of the socket, and is under way.
function gone() {
    if (process.listenerCount('SIGTERM') === 0)
        process.reallyExit(0);
    setTimeout(() => process.reallyExit(0), 2000);
}

function next() {
    if (!beside || inputFrom !== inputTo)
        return take();
    inputFrom = inputTo = 0;
    fs.read(control, input, 0, input.length, null, (err, n) => {
        if (err && (err.code === 'EAGAIN' || err.code === 'EINTR'))
            return setTimeout(next, 1);
        if (err || n === 0)
            return gone();
        inputTo = n;
        take();
    });
}

function take() {
    const started = process.hrtime.bigint();
    let frame = receive();
    if (frame.type === REHEARSED)
        return rehearsed();
    if (frame.type === BESIDE) { // an extension in the function itself: the loop has to run
        beside = true;
        return next();
    }
    if (frame.type === RESTORE) { // SnapStart: Node.js has no hooks
        send(RESTORED, frame.sequence, Buffer.alloc(0));
        frame = receive();
    }
    if (frame.type !== INVOKE)
        process.reallyExit(70);
    const call = readInvoke(frame);
    const start = () => {
        if (streaming)
            invokeStreaming(call);
        else
            invoke(call);
    };
    // After a long sleep the loop first looks at what happened meanwhile (connections that the
    // other side closed), so that the handler does not use them.
    if (process.hrtime.bigint() - started > 1000000000n)
        setImmediate(start);
    else
        start();
}

// ---- INIT --------------------------------------------------------------------------------------

function become(init, spare) {
    const nodePath = process.env.NODE_PATH;
    const env = process.env;
    for (const name of spare ? Object.keys(env) : []) {
        if (!(name in init.env))
            delete env[name];
    }
    for (const [name, value] of Object.entries(init.env)) {
        // Started for this function, it has them already, or what an exec wrapper made of them.
        if (spare ? env[name] !== value : !(name in env))
            env[name] = value;
    }
    try {
        process.chdir(init.task_root);
    } catch {
        // no code: the handler's absence will be reported
    }
    if (process.env.NODE_PATH !== nodePath)
        require('module').Module._initPaths();
    patchConsole();
    if (!/^(1|true)$/.test(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA || '')) {
        globalThis.awslambda = {
            streamifyResponse(fn, options) {
                fn[HANDLER_STREAMING] = 'response';
                if (typeof options?.highWaterMark === 'number')
                    fn[HANDLER_HIGH_WATER] = Math.trunc(options.highWaterMark);
                return fn;
            },
            HttpResponseStream,
        };
    }
}

async function initialise(spare) {
    const { type, sequence, body } = receive();
    if (type !== INIT)
        process.reallyExit(70);
    const init = JSON.parse(body.toString('utf8'));
    onFatal = (error, status) => {
        sendError(INIT_ERROR, sequence, error);
        process.exit(status);
    };
    become(init, spare);
    beside = init.extensions === true;
    if (init.debug_port) { // `lambkin invoke --debug`: nothing of the function runs before
        const inspector = require('inspector');
        inspector.open(init.debug_port, '127.0.0.1');
        inspector.waitForDebugger();
    } else if (isFolder(init.task_root + '/.v8-cache') || isFolder(init.layer_root + '/.v8-cache')) {
        loadCodeCache().use([init.task_root, init.layer_root]);
    }
    // A module that waits at its top level for something that never comes.
    whenLoopEmpty = () => process.exit(0);
    try {
        handler = await loadHandler(init.task_root, process.env._HANDLER || init.handler);
        streaming = handler[HANDLER_STREAMING];
        if (streaming && streaming !== 'response')
            throw new MalformedStreamingHandler('Only response streaming is supported.');
        highWaterMark = handler[HANDLER_HIGH_WATER];
    } catch (e) {
        logError('Uncaught Exception', e);
        sendError(INIT_ERROR, sequence, e);
        process.exit(129);
    }
    whenLoopEmpty = () => {};
    send(READY, sequence, Buffer.alloc(0));
    setImmediate(next);
}

// ---- a spare's rehearsal -----------------------------------------------------------------------

// Puts frames where receive() looks first, as if they had been read.
function pretend(frames) {
    const data = Buffer.concat(frames.map(([type, body]) =>
        Buffer.concat([header(type, 1, body.length), body])));
    data.copy(input, 0);
    inputFrom = 0;
    inputTo = data.length;
}

function pretendedInvoke() {
    const fields = ['00000000-0000-4000-8000-000000000000',
        'arn:aws:lambda:us-east-1:000000000000:function:rehearsal',
        'Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0', '', '', ''];
    const head = Buffer.alloc(32);
    head.writeUInt32LE(0xffffffff, 0);
    fields.forEach((text, i) => head.writeUInt32LE(text.length, 8 + 4 * i));
    return Buffer.concat([head, Buffer.from(fields.join('') + '{"key":"value"}')]);
}

// Off anybody's path, a spare goes through a cold start and two invocations of functions of its own,
// so that the code of it is compiled and what Node.js loads late is there. Answers go to /dev/null,
// and nothing of it stays: variables, folder, console and modules are as before.
async function rehearse() {
    const variables = { ...process.env }, folder = process.cwd();
    const real = control;
    control = fs.openSync('/dev/null', 'r+');
    for (const name of ['rehearsal-script.handler', 'rehearsal-module.handler']) {
        const init = { handler: name, task_root: __dirname, env: { ...variables,
            _HANDLER: name, AWS_LAMBDA_FUNCTION_NAME: 'rehearsal', AWS_REGION: 'us-east-1' } };
        pretend([[INIT, Buffer.from(JSON.stringify(init))], [INVOKE, pretendedInvoke()],
            [INVOKE, pretendedInvoke()], [REHEARSED, Buffer.alloc(0)]]);
        await new Promise((resolve) => {
            rehearsed = resolve;
            initialise(true);
        });
    }
    fs.closeSync(control);
    control = real;
    inputFrom = inputTo = 0;
    handler = streaming = highWaterMark = requestId = tenantId = undefined;
    onFatal = () => process.reallyExit(70);
    whenLoopEmpty = () => {};
    delete globalThis.awslambda;
    delete require.cache[require.resolve('./rehearsal-script.js')];
    loadCodeCache();
    module.children.length = 0;
    for (const name of Object.keys(process.env)) {
        if (!(name in variables))
            delete process.env[name];
    }
    process.chdir(folder);
}

async function main() {
    const spare = process.argv.includes('--spare');
    process.argv.splice(1, Infinity, '/var/runtime/index.mjs');
    process.on('uncaughtException', (error) => {
        logError('Uncaught Exception', error);
        onFatal(error, 129);
    });
    process.on('unhandledRejection', (reason, promise) => {
        const error = new UnhandledPromiseRejection(reason, promise);
        logError('Unhandled Promise Rejection', error);
        onFatal(error, 128);
    });
    process.on('beforeExit', () => whenLoopEmpty());
    if (spare) {
        for (const name of ['util', 'path', 'url', 'stream', 'http', 'https', 'crypto', 'zlib'])
            require(name);
        await rehearse();
    }
    initialise(spare);
}

main();
