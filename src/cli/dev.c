// dev.c - `lambkin dev DIR`: what is saved in the folder is what the next invocation runs.
//
// One thread, one loop: wait for the folder (inotify) or for time to look at the log. An editor
// makes several events of one save (truncate, write, rename); the package is made once they have
// been quiet for a moment, a short one when the last of them says that a file is complete. A file
// that was saved half-way is deployed half-way, and again when the rest comes: nothing is lost,
// because events that come while a package is made start another round.
#include "base/cleanup.h"
#include "cli/deploy.h"
#include "cli/logs.h"
#include "cli/verb.h"
#include "os/fd.h"
#include "os/time.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define LOOK_MS 150     // between two looks at the log
#define QUIET_MS 50     // after an event that says only that a file is being written
#define COMPLETE_MS 5   // after one that says that it is complete
#define LONGEST_MS 1000 // never wait longer than this for quiet
#define WATCHED                                                                                    \
    (IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB)

struct dev {
    struct deploy deploy;
    struct logs logs;
    const char *dir;
    int watch_fd;
    char changed[NAME_MAX + 1]; // what this round is about
    int64_t changed_ns;         // when its first event was seen
    bool pending;               // something changed since the last package was made
    bool complete;              // the last event was the end of a change
    bool lost;                  // no daemon answers
};

static volatile sig_atomic_t ended;

static void on_signal(int signal_number)
{
    (void)signal_number;
    ended = 1;
}

// ---- watching
// ------------------------------------------------------------------------------------

// Watches every folder below; one that is watched already stays so.
static int watch_all(struct dev *d, struct err *err)
{
    char *const roots[] = {(char *)d->dir, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    FTSENT *e;
    int r = 0;

    if (!tree)
        return err_errno(err, errno, "read %s", d->dir);
    while (r == 0 && (e = fts_read(tree))) {
        if (e->fts_level > 0 && package_leaves_out(e->fts_name)) {
            fts_set(tree, e, FTS_SKIP);
            continue;
        }
        if (e->fts_info != FTS_D)
            continue;
        if (inotify_add_watch(d->watch_fd, e->fts_accpath, WATCHED | IN_ONLYDIR) >= 0)
            continue;
        if (errno == ENOSPC)
            r = err_set(err, -ENOSPC,
                        "%s has more folders than may be watched; raise "
                        "/proc/sys/fs/inotify/max_user_watches",
                        d->dir);
        else if (errno != ENOENT && errno != ENOTDIR) // gone already: its parent's event says so
            r = err_errno(err, errno, "watch %s", e->fts_path);
    }
    fts_close(tree);
    return r;
}

static void note_event(struct dev *d, const struct inotify_event *e, bool *folders)
{
    const char *name = e->len ? e->name : "";

    if (e->mask & IN_Q_OVERFLOW) {
        *folders = true;
    } else if (name[0] == '\0' || package_leaves_out(name)) {
        return; // of a folder itself: its parent tells the same
    }
    if (e->mask & IN_ISDIR)
        *folders = true;
    if (!d->pending)
        d->changed_ns = os_mono_ns();
    // The name that a file has in the end, not the one under which an editor wrote it.
    if (!d->pending || (e->mask & (IN_CLOSE_WRITE | IN_MOVED_TO)))
        snprintf(d->changed, sizeof(d->changed), "%s", name[0] ? name : "the folder");
    d->pending = true;
    d->complete = !(e->mask & (IN_MODIFY | IN_CREATE)) || (e->mask & IN_ISDIR);
}

// Takes what inotify has, waiting at most this long for the first: 1 when there was something.
static int take_events(struct dev *d, int wait_ms, struct err *err)
{
    _Alignas(struct inotify_event) char events[16384];
    struct pollfd p = {.fd = d->watch_fd, .events = POLLIN};
    bool folders = false;
    int r = poll(&p, 1, wait_ms);
    ssize_t n;

    if (r < 0)
        return errno == EINTR ? 0 : err_errno(err, errno, "poll");
    if (r == 0)
        return 0;
    while ((n = read(d->watch_fd, events, sizeof(events))) > 0)
        for (char *at = events; at < events + n;) {
            const struct inotify_event *e = (const struct inotify_event *)at;
            note_event(d, e, &folders);
            at += sizeof(*e) + e->len;
        }
    if (folders) {
        r = watch_all(d, err);
        if (r < 0)
            return r;
    }
    return 1;
}

static int wait_quiet(struct dev *d, struct err *err)
{
    int64_t until_ns = d->changed_ns + LONGEST_MS * INT64_C(1000000);
    int r;

    do
        r = take_events(d, d->complete ? COMPLETE_MS : QUIET_MS, err);
    while (r > 0 && !ended && os_mono_ns() < until_ns);
    return r < 0 ? r : 0;
}

// ---- deploying
// -----------------------------------------------------------------------------------

static void say_failed(const struct err *err)
{
    fprintf(stderr, "lambkin: %s\n", err->message);
}

static int deploy_first(struct dev *d, struct err *err)
{
    struct str configuration, url;
    int64_t started_ms = os_mono_ms();
    int r;

    d->deploy.created = false;
    r = deploy_run(&d->deploy, d->dir, &configuration, err);
    if (r < 0)
        return r;
    fprintf(stderr, "%s %s in %lld ms\n", d->deploy.created ? "created" : "updated", d->deploy.name,
            (long long)(os_mono_ms() - started_ms));
    url = deploy_url(&d->deploy);
    if (url.len > 0)
        fprintf(stderr, "%.*s\n", STR_ARG(url));
    return 0;
}

// A failure is said and waits for the next change: an author's mistake must not end the loop.
static void deploy_change(struct dev *d)
{
    struct err err = ERR_INIT;
    int r;

    d->pending = false;
    r = deploy_code(&d->deploy, d->dir, &err);
    if (r > 0)
        fprintf(stderr, "%s: live %.0f ms after it was saved\n", d->changed,
                (double)(os_mono_ns() - d->changed_ns) / 1e6);
    else if (r == -ENOENT && take_events(d, 0, &err) > 0)
        return; // a file vanished while it was being packed: another round follows
    else if (r == -ENOENT)
        r = deploy_first(d, &err); // the function is gone, or its daemon is a new one
    if (r < 0)
        say_failed(&err);
}

// The daemon may be started again meanwhile, and may have forgotten the function.
static void look(struct dev *d)
{
    struct err err = ERR_INIT;
    int r = logs_look(&d->logs, &err);

    if (ended)
        return;
    if (r == 0 || r == -ENOENT) {
        if (d->lost && (r = deploy_first(d, &err)) < 0)
            say_failed(&err);
        d->lost = d->lost && r < 0;
    } else if (!d->lost) {
        say_failed(&err);
        fprintf(stderr, "waiting for the daemon\n");
        d->lost = true;
    }
}

static int dev(struct dev *d, struct err *err)
{
    struct arena *a = &d->deploy.client.arena;
    int r;

    d->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (d->watch_fd < 0)
        return err_errno(err, errno, "inotify");
    // Watched before it is read: no change falls between the two.
    r = watch_all(d, err);
    if (r == 0) {
        d->logs.follow = true;
        d->logs.begin_ms = os_now_ms();
        r = deploy_first(d, err);
    }
    if (r < 0)
        return r;
    d->logs.function = d->deploy.name;
    fprintf(stderr, "watching %s; Ctrl-C ends\n", d->dir);
    while (!ended && !ferror(stdout)) {
        r = take_events(d, LOOK_MS, err);
        if (r == 0 && d->pending)
            r = 1; // from the round before
        if (r > 0 && d->pending) {
            r = wait_quiet(d, err);
            if (r == 0 && !ended)
                deploy_change(d);
            arena_reset(a);
        }
        if (r < 0)
            return r;
        if (!ended)
            look(d);
    }
    fprintf(stderr, "%s stays deployed\n", d->deploy.name);
    return 0;
}

int dev_main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_signal}; // no SA_RESTART: poll() ends
    struct dev d = {.watch_fd = -1};
    struct arena names;
    struct arg_words words;
    struct err err = ERR_INIT;
    struct stat st;
    int code;

    client_init(&d.deploy.client);
    logs_init(&d.logs);
    arena_init(&names, 1 << 16);
    const struct arg table[] = {CLIENT_ARGS(&d.deploy.client), DEPLOY_ARGS(&d.deploy)};
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0 ||
        deploy_check(&d.deploy, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n != 1) {
        code = cli_verb_usage("dev", EXIT_USAGE);
    } else if (stat(words.words[0], &st) < 0 || !S_ISDIR(st.st_mode)) {
        err_set(&err, -ENOTDIR, "%s is not a folder", words.words[0]);
        code = cli_fail(&err);
    } else {
        bool json = d.deploy.client.json;
        client_settle(&d.deploy.client);
        d.deploy.client.terminal = false; // one line an event, no progress
        d.logs.client.endpoint = d.deploy.client.endpoint;
        d.logs.client.region = d.deploy.client.region;
        d.logs.client.json = json;
        d.dir = words.words[0];
        if (!d.deploy.name) // outlives the arena of one deployment
            d.deploy.name = deploy_name(&names, d.dir);
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        code = dev(&d, &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    closep(&d.watch_fd);
    arena_finish(&names);
    logs_finish(&d.logs);
    client_finish(&d.deploy.client);
    return code;
}
