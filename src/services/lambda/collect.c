// collect.c - code, merged layers and images that nothing refers to any more are removed.
//
// When the daemon starts nothing runs, so whatever no version and no layer uses goes at once. Later
// environments of versions that were changed or deleted may still run, and a deployment may have
// found a tree that it has not told anybody about yet. So a name must be unused at every look for
// a whole GRACE_MS, its folder untouched for as long (who finds a tree touches it), and no
// deployment under way.
//
// A folder is renamed first, and looked at again under its new name: one that was touched in the
// last moment, by a deployment that began just then, gets its name back. What a crash leaves under
// such a name goes at the next start.
#include "services/lambda/lambda_impl.h"

#include "images/image.h"
#include "os/file.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/random.h"
#include "os/time.h"
#include "os/worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 600000
#define GRACE_MS 3600000 // four times the longest invocation

// A name that nothing uses, since when.
struct unused {
    char name[SHA256_HEX_BYTES];
    int64_t since_ms; // monotonic
    bool still;       // at this look
};

struct place {
    char *const *path;
    bool zips;         // NAME.zip goes with NAME
    struct map unused; // name -> struct unused
};

static struct {
    struct lambda *lambda;
    struct loop_timer timer;
    struct work work;
    struct place places[2];
    unsigned removed;
} collect;

// --- what is used ---

static int find_used(struct lambda *l, struct map *used)
{
    const struct map_entry *e;
    size_t at = 0;
    int r = 0;

    while (r == 0 && (e = map_next(&l->functions, &at)) != NULL) {
        const struct fn *f = e->value;
        for (unsigned i = 0; i < f->n_versions && r == 0; i++) {
            struct fn_version *v = f->versions[i];
            r = map_set(used, str_from(v->sha256), v, NULL);
            if (r == 0 && v->layer_tree[0])
                r = map_set(used, str_from(v->layer_tree), v, NULL);
            for (unsigned k = 0; k < v->n_layers && r == 0; k++)
                r = map_set(used, str_from(v->layer_sha256[k]), v, NULL);
        }
    }
    at = 0;
    while (r == 0 && (e = map_next(&l->layers, &at)) != NULL) {
        struct layer_version *v = e->value;
        if (!v->deleted)
            r = map_set(used, str_from(v->sha256), v, NULL);
    }
    return r;
}

void collect_at_start(struct lambda *l)
{
    struct map used;

    map_init(&used);
    if (find_used(l, &used) == 0) {
        package_collect(l->code_dir, &used);
        image_collect(l->images_dir, &used);
    }
    map_finish(&used);
}

struct lambda *deploy_begin(struct lambda *l)
{
    atomic_fetch_add(&l->deploying, 1);
    return l;
}

void deploy_endp(struct lambda **l)
{
    atomic_fetch_sub(&(*l)->deploying, 1);
}

// --- removing one ---

static bool touched_lately(int dir, const char *name, int64_t grace_ms)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return true; // nothing to be done
    int64_t touched_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    return os_now_ms() - touched_ms < grace_ms;
}

// Under `change`: the name is free afterwards. Answers whether there is something to remove, under
// the names `aside` and aside.zip.
static bool put_aside(int dir, const struct place *p, const char *name, int64_t grace_ms,
                      char aside[static 32])
{
    char zip[SHA256_HEX_BYTES + 4], aside_zip[40];

    if (touched_lately(dir, name, grace_ms))
        return false;
    snprintf(aside, 32, ".tmp-%016llx", (unsigned long long)os_random_u64());
    snprintf(zip, sizeof(zip), "%s.zip", name);
    snprintf(aside_zip, sizeof(aside_zip), "%s.zip", aside);
    if (p->zips)
        renameat(dir, zip, dir, aside_zip); // a merged tree has none
    if (renameat(dir, name, dir, aside) == 0 && !touched_lately(dir, aside, grace_ms))
        return true;
    renameat(dir, aside, dir, name); // fails where it was made anew meanwhile
    if (p->zips && faccessat(dir, zip, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        renameat(dir, aside_zip, dir, zip);
    return false;
}

// --- a look ---

struct doomed {
    char aside[32];
    struct doomed *next;
};

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return s.len == SHA256_HEX_BYTES - 1;
}

static struct unused *remember(struct place *p, struct str name, int64_t now_ms)
{
    struct unused *u = map_get(&p->unused, name);

    if (!u) {
        u = calloc(1, sizeof(*u));
        if (!u)
            return NULL;
        snprintf(u->name, sizeof(u->name), "%.*s", STR_ARG(name));
        u->since_ms = now_ms;
        if (map_set(&p->unused, str_from(u->name), u, NULL) < 0) {
            free(u);
            return NULL;
        }
    }
    u->still = true;
    return u;
}

// Forgets the names that are used again, or gone.
static void forget(struct place *p, bool all)
{
    const struct map_entry *e;
    size_t at = 0;

    while ((e = map_next(&p->unused, &at)) != NULL) {
        struct unused *u = e->value;
        if (all || !u->still) {
            map_remove(&p->unused, e->key);
            free(u);
        } else {
            u->still = false;
        }
    }
}

static struct doomed *look_at(struct lambda *l, struct place *p, DIR *d, const struct map *used,
                              int64_t grace_ms)
{
    struct doomed *list = NULL;
    int64_t now_ms = os_mono_ms();
    const struct dirent *entry;

    while ((entry = readdir(d)) != NULL) {
        struct str name = str_from(entry->d_name);
        if (!is_name(name) || map_get(used, name))
            continue;
        struct unused *u = remember(p, name, now_ms);
        if (!u || now_ms - u->since_ms < grace_ms || atomic_load(&l->deploying) > 0)
            continue;
        struct doomed *one = calloc(1, sizeof(*one));
        if (one && put_aside(dirfd(d), p, u->name, grace_ms, one->aside)) {
            one->next = list;
            list = one;
        } else {
            free(one);
        }
    }
    forget(p, false);
    return list;
}

static void remove_all(struct place *p, int dir, struct doomed *list)
{
    while (list) {
        struct doomed *next = list->next;
        char zip[40];
        snprintf(zip, sizeof(zip), "%s.zip", list->aside);
        if (p->zips)
            unlinkat(dir, zip, 0);
        if (rm_rf_at(dir, list->aside, NULL) == 0)
            collect.removed++;
        free(list);
        list = next;
    }
}

static void look(struct lambda *l, struct place *p)
{
    int64_t grace_ms = engine_scaled_ms(l->engine, GRACE_MS);
    struct doomed *list = NULL;
    struct map used;
    DIR *d = opendir(*p->path);

    if (!d)
        return;
    map_init(&used);
    pthread_mutex_lock(&l->change);
    if (find_used(l, &used) == 0)
        list = look_at(l, p, d, &used, grace_ms);
    pthread_mutex_unlock(&l->change);
    map_finish(&used);
    remove_all(p, dirfd(d), list);
    closedir(d);
}

// --- now and then ---

static void fire(struct loop_timer *t)
{
    (void)t;
    work_submit(&collect.work);
}

static void run(struct work *w)
{
    (void)w;
    collect.removed = 0;
    for (size_t i = 0; i < ARRAY_LEN(collect.places); i++)
        look(collect.lambda, &collect.places[i]);
    if (collect.removed > 0)
        log_info("removed %u packages, merged layers and images that nothing uses",
                 collect.removed);
}

static void again(struct work *w)
{
    (void)w;
    loop_timer_start(loop_at(0), &collect.timer, engine_scaled_ms(collect.lambda->engine, LOOK_MS),
                     fire);
}

static void begin(void *ctx)
{
    again(ctx);
}

void collect_open(struct lambda *l)
{
    collect.lambda = l;
    collect.places[0] = (struct place){.path = &l->code_dir, .zips = true};
    collect.places[1] = (struct place){.path = &l->images_dir};
    collect.work = (struct work){.run = run, .done = again, .loop = loop_at(0)};
    if (loop_at(0))
        loop_call(loop_at(0), begin, &collect.work);
}

void collect_close(void)
{
    for (size_t i = 0; i < ARRAY_LEN(collect.places); i++) {
        forget(&collect.places[i], true);
        map_finish(&collect.places[i].unused);
    }
}
