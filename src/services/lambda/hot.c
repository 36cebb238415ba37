// hot.c - functions whose code is a folder of the host, run from where it lies: LocalStack's
// convention of the bucket "hot-reload" (Code: {S3Bucket: "hot-reload", S3Key:
// "/absolute/folder"}).
//
// Only folders that the setting hot-reload names, and those below them; the keeper has the same
// list and looks again. An edit is known before the next invocation chooses its environment:
// whoever looks the function up reads what inotify has queued, and after a change gets a copy of
// the version's snapshot with a newer generation, which makes the runtime retire the environments
// of the older. While a folder cannot be watched (it is gone, or being looked through after folders
// came), nothing is taken for current: every look-up answers with a new generation.
//
// Locks: `folders_lock` guards the list of folders and their counts; a folder's own `lock` its
// changes and what its versions remember of them.
#include "services/lambda/lambda_impl.h"

#include "base/base64.h"
#include "os/file.h"
#include "os/folder_watch.h"
#include "os/log.h"
#include "os/time.h"
#include "os/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATH_BYTES 1000 // SANDBOX_MAX_PATH, and some room
#define WALK_AGAIN_NS INT64_C(200000000)

struct hot_folder {
    char *path;
    unsigned refs;
    struct hot_folder *next;
    pthread_mutex_t lock;
    struct folder_watch watch;
    uint64_t changes; // of the folder; never 0
    uint64_t folders_came;
    bool watched;      // every folder below is watched: no change is missed
    bool walking;      // `work` was given to a worker, who is at it
    int64_t walked_ns; // when that ended
    struct work work;
};

static pthread_mutex_t folders_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hot_folder *folders;
static char *allowed; // "folder:folder"

// What changes here is no change of the code.
static bool left_out(const char *name)
{
    static const char *const names[] = {".git", "__pycache__", ".DS_Store"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return str_ends(str_from(name), STR(".pyc"));
}

void lambda_set_hot_folders(const char *list)
{
    free(allowed);
    allowed = list && list[0] ? strdup(list) : NULL;
}

// --- folders ---

void hot_folder_unref(struct hot_folder *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&folders_lock);
    bool last = --h->refs == 0;
    for (struct hot_folder **at = &folders; last && *at; at = &(*at)->next)
        if (*at == h) {
            *at = h->next;
            break;
        }
    pthread_mutex_unlock(&folders_lock);
    if (!last)
        return;
    folder_watch_close(&h->watch);
    pthread_mutex_destroy(&h->lock);
    free(h->path);
    free(h);
}

static struct hot_folder *ref(struct hot_folder *h)
{
    pthread_mutex_lock(&folders_lock);
    h->refs++;
    pthread_mutex_unlock(&folders_lock);
    return h;
}

static int folder_new(const char *path, struct hot_folder **out, struct err *err)
{
    struct hot_folder *h = calloc(1, sizeof(*h));

    if (!h || !(h->path = strdup(path))) {
        free(h);
        return err_set(err, -ENOMEM, "out of memory");
    }
    int r = folder_watch_open(&h->watch, h->path, left_out, err);
    if (r < 0) {
        free(h->path);
        free(h);
        return r;
    }
    h->refs = 1;
    h->changes = 1;
    pthread_mutex_init(&h->lock, NULL);
    *out = h;
    return 0;
}

int hot_folder_open(const char *path, struct hot_folder **out, struct err *err)
{
    struct hot_folder *h;
    int r = 0;

    pthread_mutex_lock(&folders_lock);
    for (h = folders; h && strcmp(h->path, path) != 0; h = h->next)
        ;
    if (h) {
        h->refs++;
    } else if ((r = folder_new(path, &h, err)) == 0) {
        h->next = folders;
        folders = h;
    }
    pthread_mutex_unlock(&folders_lock);
    if (r == 0)
        *out = h;
    return r;
}

// Blocks for as long as the tree is large. Also beside a worker that is at the same.
static int walk(struct hot_folder *h, bool worker, struct err *err)
{
    pthread_mutex_lock(&h->lock);
    uint64_t came = h->folders_came;
    pthread_mutex_unlock(&h->lock);
    int r = folder_watch_walk(&h->watch, err);

    pthread_mutex_lock(&h->lock);
    h->watched = r == 0 && came == h->folders_came; // else one may have come behind us
    h->walking = h->walking && !worker;
    h->walked_ns = os_mono_ns();
    h->changes++; // for what changed in a folder before it was watched
    pthread_mutex_unlock(&h->lock);
    return r;
}

static void walk_work(struct work *w)
{
    struct hot_folder *h =
        (struct hot_folder *)(void *)((char *)w - offsetof(struct hot_folder, work));
    struct err err = ERR_INIT;

    if (walk(h, true, &err) < 0)
        log_warn("hot reload: %s", err.message);
    hot_folder_unref(h);
}

// Under its lock: what has happened until now.
static void take_changes(struct hot_folder *h)
{
    int found = folder_watch_read(&h->watch, NULL, NULL);

    if (found != 0)
        h->changes++;
    if (found < 0 || (found & FOLDER_WALK)) {
        h->watched = false;
        h->folders_came++;
    }
    if (h->watched)
        return;
    h->changes++;
    if (h->walking || (found == 0 && os_mono_ns() - h->walked_ns < WALK_AGAIN_NS))
        return;
    h->walking = true;
    ref(h);
    h->work = (struct work){.run = walk_work};
    work_submit(&h->work);
}

// --- versions ---

struct function_config *fn_version_snapshot(struct fn_version *v)
{
    struct hot_folder *h = v->hot;

    if (!h)
        return function_config_ref(v->snapshot);
    pthread_mutex_lock(&h->lock);
    take_changes(h);
    if (!v->hot_replaced && (!v->hot_snapshot || v->hot_changes != h->changes)) {
        struct function_config *again = function_config_again(v->snapshot);
        if (again) {
            function_config_unref(v->hot_snapshot);
            v->hot_snapshot = again;
            v->hot_changes = h->changes;
        }
    }
    struct function_config *f =
        function_config_ref(v->hot_snapshot ? v->hot_snapshot : v->snapshot);
    pthread_mutex_unlock(&h->lock);
    return f;
}

void hot_version_replaced(struct fn_version *old, struct fn_version *by)
{
    if (!old || !old->hot)
        return;
    pthread_mutex_lock(&old->hot->lock);
    old->hot_replaced = true;
    function_config_renew(by->snapshot);
    pthread_mutex_unlock(&old->hot->lock);
}

// --- what a client asks for ---

int hot_check(struct str folder, const struct lambda_function_configuration *config,
              struct err *err)
{
    if (str_is_null(folder) || !config->snap_start ||
        !str_eq(config->snap_start->apply_on, STR("PublishedVersions")))
        return 0;
    return lambda_invalid(
        err, "SnapStart keeps what INIT made of the code, and code of the bucket " HOT_BUCKET
             " changes: only one of them is possible.");
}

// Whether `path` is one of the folders that the operator named, or below one.
static bool is_allowed(const char *path)
{
    struct str list = str_from(allowed), one, given = str_from(path);

    while (str_next(&list, ':', &one))
        if (one.len > 0 && str_starts(given, one) &&
            (given.len == one.len || given.ptr[one.len] == '/'))
            return true;
    return false;
}

static int check_folder(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return lambda_invalid(err, "The folder %.300s cannot be read by the daemon: %s.", path,
                              strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return lambda_invalid(err, "%.300s is no folder.", path);
    if (access(path, R_OK | X_OK) < 0)
        return lambda_invalid(
            err,
            "The folder %.300s is closed to the daemon and to functions, which run "
            "as other users: chmod o+rx opens it.",
            path);
    return 0;
}

static void release(void *p)
{
    hot_folder_unref(p);
}

int hot_code_store(struct call *c, struct str key, struct package *out, struct err *err)
{
    _cleanup_free_ char *real = NULL;
    struct hot_folder *h = NULL;
    struct err why = ERR_INIT;

    if (c->principal.kind == PRINCIPAL_FUNCTION)
        return lambda_invalid(err, "A function cannot make functions of the host's folders.");
    if (!allowed)
        return lambda_invalid(err,
                              "Hot reloading is off: start the daemon with --hot-reload FOLDER, "
                              "which names the folders whose code may be run from where it "
                              "lies. Without it, `lambkin dev DIR --name FUNCTION` deploys a "
                              "folder again whenever something in it is saved.");
    const char *path = arena_cstr(c->arena, key);
    if (key.len == 0 || key.ptr[0] != '/' || key.len > MAX_PATH_BYTES || !path)
        return lambda_invalid(err, "For the bucket hot-reload, S3Key is the absolute path of a "
                                   "folder on the daemon's host.");
    real = realpath(path, NULL);
    if (!real)
        return lambda_invalid(err, "The folder %.300s cannot be read by the daemon: %s.", path,
                              strerror(errno));
    if (!is_allowed(real) || strlen(real) > MAX_PATH_BYTES)
        return lambda_invalid(err,
                              "%.300s is in none of the folders that the setting hot-reload names: "
                              "%.300s",
                              real, allowed);
    int r = check_folder(real, err);
    if (r == 0)
        r = hot_folder_open(real, &h, &why);
    if (r == 0) {
        call_defer(c, release, h); // the version has its own by then, of the same
        r = walk(h, false, &why);
    }
    if (why.code < 0)
        return lambda_invalid(err, "The folder cannot be watched: %s", why.message);
    if (r < 0)
        return r;
    *out = (struct package){.hot_folder = arena_str(c->arena, str_from(real))};
    package_digests(arena_printf(c->arena, "hot-reload %s", real), out);
    out->zip_bytes = 0;
    return str_is_null(out->hot_folder) ? err_set(err, -ENOMEM, "out of memory") : 0;
}
