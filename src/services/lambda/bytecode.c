// bytecode.c - Python bytecode, made when a package is deployed and never at start.
//
// The sources are a stranger's, so they are compiled where strangers run: in a sandbox of its own,
// by the interpreter that will run them. What comes out of it is not trusted either: names are
// walked without following links and must end in a __pycache__ of the tree, sizes are bounded.
// Nothing depends on success: what is not compiled here is compiled at import.
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

// Prints records of path and code to descriptor 3, in the network's byte order, and an empty one
// last. Runs in the tree (argv[1]); argv[2] is where the tree will be when the code runs.
static const char script[] =
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

struct compile {
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
    const char *const argv[] = {c->interpreter, "-I", "-S", "-B", "-c", script, ".", c->inside};
    for (size_t i = 0; i < ARRAY_LEN(argv); i++)
        spec.program.argv[spec.program.n_argv++] = argv[i];
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

// Opens the __pycache__ folder that `path` lies in, and points *name at its last component.
static int open_cache(int tree_fd, char *path, char **name)
{
    _cleanup_close_ int at = fcntl(tree_fd, F_DUPFD_CLOEXEC, 0);
    char *part = path, *slash;
    bool cache = false;

    if (at < 0)
        return -errno;
    while ((slash = strchr(part, '/')) != NULL) {
        *slash = 0;
        if (part[0] == 0 || strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
            return -EINVAL;
        cache = strcmp(part, "__pycache__") == 0;
        if (cache && mkdirat(at, part, 0755) == 0 && fchmodat(at, part, 0755, 0) < 0)
            return -errno; // the umask's modes would hide it from the function
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -errno;
        close(at);
        at = next;
        part = slash + 1;
    }
    size_t len = strlen(part);
    if (!cache || len < 5 || strcmp(part + len - 4, ".pyc") != 0)
        return -EINVAL;
    *name = part;
    return TAKE_FD(at);
}

static int write_cache(int tree_fd, char *path, const void *code, size_t n)
{
    char temporary[32], *name = NULL;
    _cleanup_close_ int dir = open_cache(tree_fd, path, &name);

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

static int receive(int fd, int tree_fd)
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
        r = write_cache(tree_fd, path, code, code_bytes);
        if (r < 0)
            return r;
    }
}

void package_compile_python(const char *code_dir, const char *sha256, const char *interpreter,
                            const char *inside)
{
    struct compile c = {
        .sha256 = sha256, .interpreter = interpreter, .inside = inside, .control_fd = -1};
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
    int r = c.control_fd < 0 ? c.err.code : receive(c.control_fd, tree_fd);
    closep(&c.control_fd);
    loop_call(loop_at(0), end, &c);
    pthread_cond_destroy(&c.answer);
    pthread_mutex_destroy(&c.lock);
    if (r < 0)
        log_info("%s is not compiled to bytecode: %s", sha256,
                 c.err.code ? c.err.message : strerror(-r));
}
