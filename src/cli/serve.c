// serve.c - `lambkin serve`: the main process.
//
// Order: settings, data directory and its lock, listeners, then the children (processes.c). Main
// stays as small as that: it answers no request and opens no store. Its listeners stay open while
// a server is started again, so clients wait instead of being refused.
#include "base/cleanup.h"
#include "cli/hot_folders.h"
#include "cli/processes.h"
#include "cli/settings.h"
#include "cli/verb.h"
#include "http/server.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"
#include "os/time.h"
#include "runtime/files.h"
#include "sandbox/interpreters.h"
#include "sandbox/outbound.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERVER_UID 61000 // outside of what Debian gives to people, daemons and systemd

struct serve {
    int64_t started_ns;
    struct config *config;
    struct arena arena;
    char *data_dir; // absolute
    bool ephemeral;
    uid_t uid; // the server's
    gid_t gid;
    int lock_fd, listener_fd, tls_fd;
};

static bool is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, address, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, address, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(address, "localhost") == 0;
}

// Said now rather than by the first function that wants them.
static int check_outbound(struct str list, struct err *err)
{
    struct err why = ERR_INIT;
    struct str part;
    struct outbound_network network;
    char one[64];

    while (str_next(&list, ',', &part)) {
        part = str_trim(part);
        if (part.len == 0)
            continue;
        snprintf(one, sizeof(one), "%.*s", STR_ARG(part)); // cut short it is no network either
        if (outbound_parse(one, &network, &why) < 0)
            return err_set(err, -EINVAL, "outbound-networks: %s", why.message);
    }
    return 0;
}

static int check_settings(struct serve *s, struct err *err)
{
    struct str account = config_str(s->config, "account");
    bool open = !is_loopback(config_cstr(s->config, "listen"));

    if (open && str_eq(config_str(s->config, "access-key"), STR("test")) &&
        str_eq(config_str(s->config, "secret-key"), STR("test")))
        return err_set(err, -EPERM,
                       "refusing to listen on %s with the well-known credentials test/test: set "
                       "access-key and secret-key first (configuration file or "
                       "LAMBKIN_ACCESS_KEY, LAMBKIN_SECRET_KEY)",
                       config_cstr(s->config, "listen"));
    if (open && !config_bool(s->config, "auth"))
        return err_set(err, -EPERM, "refusing to listen on %s with --no-auth",
                       config_cstr(s->config, "listen"));
    if (account.len != 12 || strspn(account.ptr, "0123456789") != 12)
        return err_set(err, -EINVAL, "account: 12 digits, not \"%.*s\"", STR_ARG(account));
    if (check_outbound(config_str(s->config, "outbound-networks"), err) < 0)
        return err->code;
    if (!config_cstr(s->config, "tls-cert") != !config_cstr(s->config, "tls-key"))
        return err_set(err, -EINVAL, "tls-cert and tls-key go together");
    if (!config_bool(s->config, "auth"))
        log_warn("signatures are NOT verified (--no-auth): anyone who reaches the port is root");
    return 0;
}

// Which user the server becomes. Not root: our own.
static int choose_user(struct serve *s, struct err *err)
{
    const char *name = config_cstr(s->config, "user");
    const struct passwd *pw;
    uint64_t number;

    s->uid = geteuid();
    s->gid = getegid();
    if (s->uid != 0)
        return 0;
    if (name && str_to_u64(str_from(name), &number) == 0 && number < UINT32_MAX) {
        s->uid = (uid_t)number;
        s->gid = (gid_t)number;
        return 0;
    }
    pw = getpwnam(name ? name : "lambkin");
    if (pw) {
        s->uid = pw->pw_uid;
        s->gid = pw->pw_gid;
    } else if (name) {
        return err_set(err, -ENOENT, "there is no user called \"%s\"", name);
    } else {
        s->uid = SERVER_UID;
        s->gid = SERVER_UID;
    }
    return 0;
}

static uid_t new_owner_uid;
static gid_t new_owner_gid;

static int give_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)kind;
    // What runs inside of sandboxes stays root's.
    if (where->level == 1 && strcmp(path + where->base, "runtime") == 0)
        return FTW_SKIP_SUBTREE;
    if (st->st_uid == 0 && lchown(path, new_owner_uid, new_owner_gid) < 0)
        return FTW_STOP;
    return FTW_CONTINUE;
}

// The data directory belongs to the server's user; what an earlier start as another user (or
// as root) left there is handed over once.
static int own_data_dir(struct serve *s, struct err *err)
{
    struct stat st;

    if (geteuid() != 0 || s->uid == 0)
        return 0;
    if (stat(s->data_dir, &st) < 0)
        return err_errno(err, errno, "stat %s", s->data_dir);
    if (st.st_uid == s->uid)
        return 0;
    new_owner_uid = s->uid;
    new_owner_gid = s->gid;
    if (st.st_uid != 0)
        return err_set(err, -EPERM,
                       "%s belongs to the user with the number %u; start with --user %u",
                       s->data_dir, st.st_uid, st.st_uid);
    if (nftw(s->data_dir, give_one, 32, FTW_PHYS | FTW_MOUNT | FTW_ACTIONRETVAL) != 0 ||
        lchown(s->data_dir, s->uid, s->gid) < 0)
        return err_errno(err, errno, "chown %s", s->data_dir);
    return 0;
}

// Whether the server's user can get there at all.
static int check_reach(struct serve *s, struct err *err)
{
    int fd, e;

    if (geteuid() != 0 || s->uid == 0)
        return 0;
    if (setegid(s->gid) < 0 || seteuid(s->uid) < 0)
        return err_errno(err, errno, "become user %u", s->uid);
    fd = open(s->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    e = errno;
    if (seteuid(0) < 0 || setegid(0) < 0)
        abort();
    if (fd < 0)
        return err_set(err, -e,
                       "the server's user (%u) cannot reach %s: a directory above it is closed to "
                       "others; choose another --data-dir, or open it with chmod o+x",
                       s->uid, s->data_dir);
    close(fd);
    return 0;
}

static int absolute(struct arena *a, const char *path, char **out, struct err *err)
{
    char here[4096];
    struct str s;

    if (path[0] == '/') {
        s = arena_str(a, str_from(path));
    } else {
        if (!getcwd(here, sizeof(here)))
            return err_errno(err, errno, "getcwd");
        s = arena_printf(a, "%s/%s", here, path);
    }
    *out = arena_cstr(a, s);
    return *out ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int open_data_dir(struct serve *s, struct err *err)
{
    struct str temp;
    char lock[4200];
    int r;

    s->ephemeral = config_bool(s->config, "ephemeral");
    if (s->ephemeral) {
        r = make_temp_dir(&s->arena, "lambkin-", &temp, err);
        if (r < 0)
            return r;
        s->data_dir = arena_cstr(&s->arena, temp);
    } else {
        r = absolute(&s->arena, config_cstr(s->config, "data-dir"), &s->data_dir, err);
        if (r < 0)
            return r;
        r = mkdir_p(s->data_dir, 0755, err);
        if (r < 0)
            return r;
    }
    if (!s->data_dir ||
        (size_t)snprintf(lock, sizeof(lock), "%s/lock", s->data_dir) >= sizeof(lock))
        return err_set(err, -ENAMETOOLONG, "the path of the data directory is too long");
    s->lock_fd = lock_file(lock, err);
    if (s->lock_fd == -EWOULDBLOCK)
        return err_set(err, -EBUSY,
                       "another lambkin is running on %s; one daemon per data directory (choose "
                       "another with --data-dir, or --ephemeral)",
                       s->data_dir);
    if (s->lock_fd < 0)
        return s->lock_fd;
    // Others may pass through to what they are shown (sandboxes to code/); not read.
    if (chmod(s->data_dir, 0711) < 0 && errno != EPERM)
        return err_errno(err, errno, "chmod %s", s->data_dir);
    r = own_data_dir(s, err);
    return r < 0 ? r : check_reach(s, err);
}

// The folders that both children use, so that neither has to wait for the other.
static int make_folders(struct serve *s, struct err *err)
{
    static const struct {
        const char *name;
        mode_t mode;
        bool root; // stays root's
    } folders[] = {
        {"code", 0711, false},  {"run", 0711, false},     {"runtime", 0755, true},
        {"db", 0700, false},    {"objects", 0700, false}, {"logs", 0700, false},
        {"spool", 0700, false}, {"images", 0711, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char path[4200];
        int r;

        snprintf(path, sizeof(path), "%s/%s", s->data_dir, folders[i].name);
        if (mkdir(path, folders[i].mode) < 0) {
            if (errno == EEXIST)
                continue;
            return err_errno(err, errno, "mkdir %s", path);
        }
        r = chmod(path, folders[i].mode); // whatever the umask
        if (r == 0 && geteuid() == 0 && !folders[i].root)
            r = lchown(path, s->uid, s->gid);
        if (r < 0)
            return err_errno(err, errno, "chown %s", path);
    }
    return 0;
}

// What functions may be run with: the keeper gets the paths from us, so that no compromised server
// can name others; the server reads the versions from the file.
static int find_interpreters(struct serve *s, struct buf *text, struct err *err)
{
    struct interpreters found = {0};
    char path[4200];
    struct buf paths;
    int r;

    snprintf(path, sizeof(path), "%s/run/interpreters", s->data_dir);
    r = interpreters_find_cached(&found, path, err);
    if (r == 0 && geteuid() == 0 && lchown(path, s->uid, s->gid) < 0)
        r = err_errno(err, errno, "chown %s", path);
    if (r < 0)
        return r;
    buf_init(&paths, 64 * 1024);
    for (unsigned i = 0; i < found.n; i++)
        buf_addf(&paths, "%s%s", i ? ":" : "", found.list[i].path);
    buf_add_char(&paths, '\0');
    settings_dump_one(text, "run-interpreters", paths.failed ? "" : paths.ptr);
    buf_finish(&paths);
    return 0;
}

// The bootstraps of the managed runtimes: root's, where we are root, so that the server cannot
// change what runs inside sandboxes.
static int write_bootstraps(struct serve *s, struct err *err)
{
    char dir[4200];

    snprintf(dir, sizeof(dir), "%s/runtime", s->data_dir);
    return runtime_files_write(dir, err);
}

static int open_listeners(struct serve *s, struct err *err)
{
    const char *host = config_cstr(s->config, "listen");
    uint16_t port = (uint16_t)config_i64(s->config, "port");

    s->listener_fd = http_listen_tcp(host, port, err);
    if (s->listener_fd == -EADDRINUSE)
        return err_set(err, -EADDRINUSE,
                       "port %u is taken; is another lambkin running? (--port 0 takes a free one)",
                       port);
    if (s->listener_fd < 0)
        return s->listener_fd;
    if (!config_cstr(s->config, "tls-port"))
        return 0;
    s->tls_fd = http_listen_tcp(host, (uint16_t)config_i64(s->config, "tls-port"), err);
    return s->tls_fd < 0 ? s->tls_fd : 0;
}

static void say_ready(void *ctx)
{
    struct serve *s = ctx;
    const char *host = config_cstr(s->config, "listen");
    bool v6 = strchr(host, ':') != NULL;
    char line[8192], tls[300] = "";
    size_t n;

    if (s->tls_fd >= 0)
        snprintf(tls, sizeof(tls), " and https://%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
                 http_socket_port(s->tls_fd));
    n = (size_t)snprintf(
        line, sizeof(line), "lambkin %s ready on http://%s%s%s:%u in %.0f ms (data %s)%s%s\n",
        LAMBKIN_VERSION, v6 ? "[" : "", host, v6 ? "]" : "", http_socket_port(s->listener_fd),
        (double)(os_mono_ns() - s->started_ns) / 1e6, s->data_dir, tls,
        config_bool(s->config, "auth") ? "" : " WITHOUT AUTHENTICATION");
    if (n >= sizeof(line))
        n = sizeof(line) - 1;
    fd_write_full(STDOUT_FILENO, line, n);
    if (config_cstr(s->config, "ready-fd")) {
        int fd = (int)config_i64(s->config, "ready-fd");
        fd_write_full(fd, line, n);
        if (fd > STDERR_FILENO)
            close(fd);
    }
}

static int settle_hot_folders(struct serve *s, struct buf *text, struct err *err)
{
    _cleanup_(buf_finishp) struct buf folders = {0};

    buf_init(&folders, 64 * 1024);
    int r = hot_folders_settle(config_cstr(s->config, "hot-reload"), s->data_dir, &folders, err);
    if (r == 0 && folders.len > 0)
        settings_dump_one(text, "hot-reload", folders.ptr);
    return r;
}

static int run_children(struct serve *s, struct err *err)
{
    struct buf text;
    char number[32];
    int r;

    buf_init(&text, 256 * 1024);
    settings_dump(s->config, &text);
    settings_dump_one(&text, "data-dir", s->data_dir);
    settings_dump_one(&text, "run-version", LAMBKIN_VERSION);
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"port", http_socket_port(s->listener_fd)},
                   {"run-uid", s->uid},
                   {"run-gid", s->gid},
                   {"run-main-pid", getpid()}};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        snprintf(number, sizeof(number), "%lld", (long long)numbers[i].value);
        settings_dump_one(&text, numbers[i].name, number);
    }
    settings_dump_one(&text, "run-has-tls", s->tls_fd >= 0 ? "true" : "false");
    r = settle_hot_folders(s, &text, err);
    if (r == 0)
        r = find_interpreters(s, &text, err);
    if (r == 0)
        r = write_bootstraps(s, err);
    if (r < 0) {
        buf_finish(&text);
        return r;
    }
    const struct processes_config config = {
        .settings = buf_str(&text),
        .lock_fd = s->lock_fd,
        .listener_fd = s->listener_fd,
        .tls_fd = s->tls_fd,
        .drain_ms = (uint32_t)config_i64(s->config, "drain"),
        .ready = say_ready,
        .ctx = s,
    };
    r = text.failed ? err_set(err, -ENOMEM, "out of memory") : processes_run(&config, err);
    buf_finish(&text);
    return r;
}

// Signals that stop us are taken by processes_run(); from here on they wait.
static void prepare_process(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    umask(022);
    // A closed standard descriptor would be taken by the next open.
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", O_RDWR);
}

int serve_main(int argc, char **argv)
{
    struct serve s = {.started_ns = os_mono_ns(), .lock_fd = -1, .listener_fd = -1, .tls_fd = -1};
    struct err err = ERR_INIT;
    enum log_level level = LOG_LEVEL_INFO;
    int r;

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return cli_verb_usage("serve", EXIT_FINE);
    prepare_process();
    arena_init(&s.arena, 1 << 20);
    r = settings_load(argc - 1, argv + 1, &s.config, &err);
    if (r < 0) {
        cli_fail(&err);
        arena_finish(&s.arena);
        return EXIT_USAGE;
    }
    log_level_parse(config_str(s.config, "log-level"), &level);
    log_init("main", level);
    r = check_settings(&s, &err);
    if (r == 0)
        r = choose_user(&s, &err);
    if (r == 0)
        r = open_data_dir(&s, &err);
    if (r == 0)
        r = make_folders(&s, &err);
    if (r == 0)
        r = open_listeners(&s, &err);
    if (r == 0)
        r = run_children(&s, &err);
    if (r < 0)
        cli_fail(&err);
    if (s.ephemeral && s.data_dir && rm_rf(s.data_dir, &err) < 0)
        log_warn("%s", err.message);
    closep(&s.tls_fd);
    closep(&s.listener_fd);
    closep(&s.lock_fd);
    config_destroy(s.config);
    arena_finish(&s.arena);
    return r < 0 ? EXIT_FAILED : EXIT_FINE;
}
