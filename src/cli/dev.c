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
#include "os/folder_watch.h"
#include "os/time.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOOK_MS 150     // between two looks at the log
#define QUIET_MS 50     // after an event that says only that a file is being written
#define COMPLETE_MS 5   // after one that says that it is complete
#define LONGEST_MS 1000 // never wait longer than this for quiet

struct dev {
    struct deploy deploy;
    struct logs logs;
    const char *dir, *full; // as given, and by its full name
    struct folder_watch watch;
    bool away;                  // the folder is not there
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

static void note_event(void *ctx, const struct folder_event *e)
{
    struct dev *d = ctx;

    if (!d->pending)
        d->changed_ns = os_mono_ns();
    // The name that a file has in the end, not the one under which an editor wrote it.
    if (!d->pending || e->complete)
        snprintf(d->changed, sizeof(d->changed), "%s", e->name[0] ? e->name : "the folder");
    d->pending = true;
    d->complete = e->complete;
}

// The folder itself may be away for a moment: a build that makes it anew.
static int walk(struct dev *d, struct err *err)
{
    int r = folder_watch_walk(&d->watch, err);

    d->away = r == -ENOENT || r == -ENOTDIR;
    return d->away ? 0 : r;
}

// Takes what inotify has, waiting at most this long for the first: 1 when there was something.
static int take_events(struct dev *d, int wait_ms, struct err *err)
{
    struct pollfd p = {.fd = d->watch.fd, .events = POLLIN};
    bool away = d->away;
    int found, r;

    if (poll(&p, 1, wait_ms) < 0)
        return errno == EINTR ? 0 : err_errno(err, errno, "poll");
    found = folder_watch_read(&d->watch, note_event, d);
    if (found < 0)
        return err_errno(err, -found, "inotify");
    if (away || (found & FOLDER_WALK)) {
        r = walk(d, err);
        if (r < 0)
            return r;
        if (away && !d->away) { // it is back, and nobody saw what happened to it
            note_event(d, &(struct folder_event){.name = "", .complete = true});
            found |= FOLDER_CHANGED;
        }
    }
    return found ? 1 : 0;
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

// A daemon on this host that may run the folder from where it lies (its setting hot-reload) needs
// no packages: what is saved is what runs. Whether it may is its to say.
static int deploy_hot(struct dev *d, struct err *err)
{
    static const char *const here[] = {"http://127.",       "https://127.", "http://localhost",
                                       "https://localhost", "http://[::1]", "https://[::1]"};
    struct err ignored = ERR_INIT;
    bool local = false;

    for (size_t i = 0; i < ARRAY_LEN(here); i++)
        local = local || str_starts(str_from(d->deploy.client.endpoint), str_from(here[i]));
    d->deploy.hot = local ? d->full : NULL;
    if (d->deploy.hot && deploy_first(d, &ignored) == 0)
        return 0;
    d->deploy.hot = NULL;
    return deploy_first(d, err);
}

// What stays is a package: edits after the end are not live.
static void deploy_last(struct dev *d)
{
    struct err err = ERR_INIT;

    if (!d->deploy.hot)
        return;
    d->deploy.hot = NULL;
    if (deploy_code(&d->deploy, d->dir, &err) < 0)
        say_failed(&err);
}

// A failure is said and waits for the next change: an author's mistake must not end the loop.
static void deploy_change(struct dev *d)
{
    struct err err = ERR_INIT;
    int r;

    d->pending = false;
    r = deploy_code(&d->deploy, d->dir, &err);
    if (r > 0 && d->deploy.hot)
        fprintf(stderr, "%s: live\n", d->changed);
    else if (r > 0)
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

    r = folder_watch_open(&d->watch, d->dir, package_leaves_out, err);
    // Watched before it is read: no change falls between the two.
    if (r == 0)
        r = folder_watch_walk(&d->watch, err);
    if (r == 0) {
        d->logs.follow = true;
        d->logs.begin_ms = os_now_ms();
        r = deploy_hot(d, err);
    }
    if (r < 0)
        return r;
    d->logs.function = d->deploy.name;
    fprintf(stderr, "watching %s%s; Ctrl-C ends\n", d->dir,
            d->deploy.hot ? ", which runs from where it lies" : "");
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
    deploy_last(d);
    fprintf(stderr, "%s stays deployed\n", d->deploy.name);
    return 0;
}

int dev_main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_signal}; // no SA_RESTART: poll() ends
    struct dev d = {.watch.fd = -1};
    struct arena names;
    struct arg_words words;
    struct err err = ERR_INIT;
    struct stat st;
    char full[PATH_MAX];
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
        d.full = realpath(d.dir, full);
        if (!d.deploy.name) // outlives the arena of one deployment
            d.deploy.name = deploy_name(&names, d.dir);
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        code = dev(&d, &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    folder_watch_close(&d.watch);
    arena_finish(&names);
    logs_finish(&d.logs);
    client_finish(&d.deploy.client);
    return code;
}
