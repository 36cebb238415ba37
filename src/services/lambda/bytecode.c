// bytecode.c - Python's bytecode and V8's code cache, made when a package is deployed and never at
// start.
//
// The sources are a stranger's, so they are compiled where strangers run: in a sandbox of its own,
// by the interpreter that will run them. What comes out of it is not trusted either: names are
// walked without following links and must lie in a __pycache__ or below .v8-cache of the tree,
// sizes are bounded. Functions see their tree read-only. Nothing depends on success: what is not
// compiled here is compiled at import, and so is what the interpreter does not accept.
//
// The worker waits; the connection to the keeper lives on the first loop:
//
//   worker  loop_call(begin) ── wait for `answered` ── read the control socket ── loop_call(end)
//   loop    begin: open, START     started(): descriptor, answered            end: close, which
//   kills
#include "services/lambda/packages.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/random.h"
#include "os/time.h"
#include "runtime/runtime.h"
#include "sandbox/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPILE_TIMEOUT_MS 30000
#define COMPILE_MEMORY_MB 1024
#define MAX_FILE_BYTES ((uint32_t)64 << 20)
#define MAX_ALL_BYTES ((uint64_t)512 << 20)
#define MAX_PATH_BYTES 2048
#define V8_CACHE ".v8-cache"

// Both print records of path and code to descriptor 3, in the network's byte order, and an empty
// one last. Runs in the tree (argv[1]); argv[2] is where the tree will be when the code runs.
static const char python_script[] =
    "import os, resource, struct, sys\n"
    "import importlib._bootstrap_external as external\n"
    "from importlib.util import cache_from_source, source_hash\n"
    "resource.setrlimit(resource.RLIMIT_CPU, (25, 25))\n"
    "out = os.fdopen(3, 'wb', closefd=False)\n"
    "tree, inside = sys.argv[1:3]\n"
    "def send(path, code):\n"
    "    path = os.fsencode(path)\n"
    "    out.write(struct.pack('>II', len(path), len(code)) + path + code)\n"
    "for folder, _, names in os.walk(tree):\n"
    "    for name in names:\n"
    "        path = os.path.join(folder, name)\n"
    "        if not name.endswith('.py') or os.path.islink(path):\n"
    "            continue\n"
    "        cache = cache_from_source(path)\n"
    "        if os.path.exists(cache):\n"
    "            continue\n"
    "        try:\n"
    "            with open(path, 'rb') as f:\n"
    "                source = f.read()\n"
    "            code = compile(source, inside + path[len(tree):], 'exec', dont_inherit=True)\n"
    "            send(cache[len(tree) + 1:],\n"
    "                 external._code_to_hash_pyc(code, source_hash(source), False))\n"
    "        except Exception:\n"
    "            pass\n"
    "send('', b'')\n"
    "out.flush()\n";

// What the bootstrap finds as <tree>/.v8-cache/<path of the script>: SHA-256 of the source and of
// V8's data, and that data. Only what is long enough to be worth a look at the disk, and not what
// holds an import(): from cached code that would not find its way (Node.js 20). Functions that
// were not called yet are compiled when they are: running a stranger's code to find out which those
// are is not for deployment.
static const char node_script[] =
    "'use strict';\n"
    "const fs = require('fs'), path = require('path'), vm = require('vm');\n"
    "const crypto = require('crypto');\n"
    "const [tree, inside] = process.argv.slice(1);\n"
    "const until = Date.now() + 15000;\n"
    "const names = ['exports', 'require', 'module', '__filename', '__dirname'];\n"
    "function send(name, data) {\n"
    "    const text = Buffer.from(name), head = Buffer.alloc(8);\n"
    "    head.writeUInt32BE(text.length, 0);\n"
    "    head.writeUInt32BE(data.length, 4);\n"
    "    const all = Buffer.concat([head, text, data]);\n"
    "    for (let at = 0; at < all.length;)\n"
    "        at += fs.writeSync(3, all, at);\n"
    "}\n"
    "function walk(folder) {\n"
    "    for (const entry of fs.readdirSync(path.join(tree, folder), { withFileTypes: true })) {\n"
    "        const name = path.join(folder, entry.name);\n"
    "        if (Date.now() > until || name === '.v8-cache')\n"
    "            continue;\n"
    "        if (entry.isDirectory())\n"
    "            walk(name);\n"
    "        else if (entry.isFile() && /\\.c?js$/.test(name))\n"
    "            compile(name);\n"
    "    }\n"
    "}\n"
    "function compile(name) {\n"
    "    const file = path.join(tree, name), { size } = fs.statSync(file);\n"
    "    if (size < 4096 || size > 33554432)\n"
    "        return;\n"
    "    try {\n"
    "        const source = fs.readFileSync(file, 'utf8');\n"
    "        if (/\\bimport\\s*[(\\/]/.test(source))\n"
    "            return;\n"
    "        const { cachedData } = vm.compileFunction(source, names,\n"
    "            { filename: path.join(inside, name), produceCachedData: true });\n"
    "        const sum = crypto.createHash('sha256').update(source).update(cachedData).digest();\n"
    "        send(path.join('.v8-cache', name), Buffer.concat([sum, cachedData]));\n"
    "    } catch {\n"
    "    }\n"
    "}\n"
    "walk('');\n"
    "send('', Buffer.alloc(0));\n";

struct compiler {
    const char *arguments[8]; // of the interpreter, up to the tree and where it will be
    bool (*allows)(const char *folders, const char *name);
};

struct compile {
    const struct compiler *compiler;
    const char *sha256, *interpreter, *inside;
    struct keeper_client *client;
    pthread_mutex_t lock;
    pthread_cond_t answer;
    bool answered;
    int control_fd;
    struct err err;
};

static void answer(struct compile *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    c->control_fd = fd;
    c->answered = true;
    pthread_cond_signal(&c->answer);
    pthread_mutex_unlock(&c->lock);
}

static void started(void *ctx, uint64_t id, int r, struct sandbox_started *s, const struct err *err)
{
    struct compile *c = ctx;
    int fd = -1;

    (void)id;
    if (r < 0) {
        c->err = *err;
    } else {
        fd = TAKE_FD(s->control_fd);
        sandbox_started_finish(s);
    }
    answer(c, fd);
}

static void exited(void *ctx, const struct sandbox_exit *e)
{
    (void)ctx; // the control socket ends with it
    (void)e;
}

static void begin(void *ctx)
{
    struct compile *c = ctx;
    const struct keeper_events events = {.exited = exited, .ctx = c};
    struct keeper_client *first = runtime_keeper();
    struct sandbox_spec spec;
    int r;

    if (!first) {
        err_set(&c->err, -ENOTCONN, "there is no keeper");
        answer(c, -1);
        return;
    }
    sandbox_spec_init(&spec);
    spec.id = 1; // of this connection
    spec.want_control = true;
    spec.binding.code_dir = c->sha256;
    spec.binding.memory_mb = COMPILE_MEMORY_MB;
    spec.program.argv[spec.program.n_argv++] = c->interpreter;
    for (size_t i = 0; c->compiler->arguments[i]; i++)
        spec.program.argv[spec.program.n_argv++] = c->compiler->arguments[i];
    spec.program.argv[spec.program.n_argv++] = ".";
    spec.program.argv[spec.program.n_argv++] = c->inside;
    spec.program.env[spec.program.n_env++] = "LANG=C.UTF-8";
    r = keeper_client_open_more(first, loop_at(0), &events, &c->client, &c->err);
    if (r == 0)
        r = keeper_start(c->client, &spec, started, c, &c->err);
    if (r < 0)
        answer(c, -1);
}

static void end(void *ctx)
{
    struct compile *c = ctx;

    keeper_client_close(c->client);
}

// --- what the sandbox sends ---

static int read_all(int fd, void *to, size_t n, int64_t deadline_ms)
{
    char *at = to;

    while (n > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ms - os_mono_ms();
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return -ETIMEDOUT;
        ssize_t got = read(fd, at, n);
        if (got == 0)
            return -EPIPE;
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR)
                continue;
            return -errno;
        }
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

// "a/b/__pycache__", "c.pyc"
static bool allows_python(const char *folders, const char *name)
{
    size_t n = strlen(folders), len = strlen(name);

    return n >= 11 && strcmp(folders + n - 11, "__pycache__") == 0 &&
           (n == 11 || folders[n - 12] == '/') && len > 4 && strcmp(name + len - 4, ".pyc") == 0;
}

// ".v8-cache/a/b", "c.js"
static bool allows_node(const char *folders, const char *name)
{
    return strncmp(folders, V8_CACHE, strlen(V8_CACHE)) == 0 &&
           (folders[strlen(V8_CACHE)] == '/' || folders[strlen(V8_CACHE)] == 0) && name[0] != 0;
}

static const struct compiler python = {{"-I", "-S", "-B", "-c", python_script, NULL},
                                       allows_python};
static const struct compiler node = {{"-e", node_script, "--", NULL}, allows_node};

// Opens the folder that `path` lies in, making it where that is ours to make, and points *name at
// its last component.
static int open_cache(const struct compiler *compiler, int tree_fd, char *path, char **name)
{
    _cleanup_close_ int at = fcntl(tree_fd, F_DUPFD_CLOEXEC, 0);
    char *part = path, *slash = strrchr(path, '/');

    if (at < 0)
        return -errno;
    if (!slash)
        return -EINVAL;
    *slash = 0;
    bool allowed = compiler->allows(path, slash + 1);
    *slash = '/';
    if (!allowed)
        return -EINVAL;
    while ((slash = strchr(part, '/')) != NULL) {
        *slash = 0;
        if (part[0] == 0 || strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
            return -EINVAL;
        bool ours = compiler == &node || strcmp(part, "__pycache__") == 0;
        if (ours && mkdirat(at, part, 0755) == 0 && fchmodat(at, part, 0755, 0) < 0)
            return -errno; // the umask's modes would hide it from the function
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -errno;
        close(at);
        at = next;
        part = slash + 1;
    }
    if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
        return -EINVAL;
    *name = part;
    return TAKE_FD(at);
}

static int write_cache(const struct compiler *compiler, int tree_fd, char *path, const void *code,
                       size_t n)
{
    char temporary[32], *name = NULL;
    _cleanup_close_ int dir = open_cache(compiler, tree_fd, path, &name);

    if (dir < 0)
        return dir;
    snprintf(temporary, sizeof(temporary), ".%016llx", (unsigned long long)os_random_u64());
    _cleanup_close_ int fd =
        openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, 0644) < 0 ? -errno : fd_write_full(fd, code, n);
    if (r == 0 && renameat(dir, temporary, dir, name) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dir, temporary, 0);
    return r;
}

static uint32_t big_endian(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int receive(const struct compiler *compiler, int fd, int tree_fd)
{
    int64_t deadline_ms = os_mono_ms() + COMPILE_TIMEOUT_MS;
    uint64_t all = 0;

    for (;;) {
        uint8_t head[8];
        char path[MAX_PATH_BYTES];
        int r = read_all(fd, head, sizeof(head), deadline_ms);
        if (r < 0)
            return r;
        uint32_t path_bytes = big_endian(head), code_bytes = big_endian(head + 4);
        if (path_bytes == 0)
            return 0;
        all += code_bytes;
        if (path_bytes >= sizeof(path) || code_bytes > MAX_FILE_BYTES || all > MAX_ALL_BYTES)
            return -EMSGSIZE;
        _cleanup_free_ char *code = malloc(code_bytes + 1U);
        if (!code)
            return -ENOMEM;
        r = read_all(fd, path, path_bytes, deadline_ms);
        if (r == 0)
            r = read_all(fd, code, code_bytes, deadline_ms);
        if (r < 0)
            return r;
        path[path_bytes] = 0;
        r = write_cache(compiler, tree_fd, path, code, code_bytes);
        if (r < 0)
            return r;
    }
}

void package_compile(const char *code_dir, const char *sha256, enum package_language language,
                     const char *interpreter, const char *inside)
{
    struct compile c = {.compiler = language == PACKAGE_PYTHON ? &python : &node,
                        .sha256 = sha256,
                        .interpreter = interpreter,
                        .inside = inside,
                        .control_fd = -1};
    _cleanup_free_ char *tree = NULL;

    if (!interpreter[0] || !loop_at(0) || asprintf(&tree, "%s/%s", code_dir, sha256) < 0)
        return;
    _cleanup_close_ int tree_fd = open(tree, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tree_fd < 0)
        return;
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.answer, NULL);
    loop_call(loop_at(0), begin, &c);
    pthread_mutex_lock(&c.lock);
    while (!c.answered)
        pthread_cond_wait(&c.answer, &c.lock);
    pthread_mutex_unlock(&c.lock);
    int r = c.control_fd < 0 ? c.err.code : receive(c.compiler, c.control_fd, tree_fd);
    closep(&c.control_fd);
    loop_call(loop_at(0), end, &c);
    pthread_cond_destroy(&c.answer);
    pthread_mutex_destroy(&c.lock);
    if (r < 0)
        log_info("%s is not compiled to bytecode: %s", sha256,
                 c.err.code ? c.err.message : strerror(-r));
}
