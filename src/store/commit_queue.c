// commit_queue.c - group commit: many writers, one connection, one wait for the disk.
//
//   queue_enter ──▶ savepoint open ──queue_commit──▶ somebody waiting and room in the group?
//                        │                             yes: pass the connection on (pass_on), wait
//                        │                             no:  lead: COMMIT (settle), answer everybody
//                        └──queue_abort──▶ savepoint undone; then lead if the group has members and
//                                          nobody is waiting, else pass on
//
// Invariants: whoever is between enter and commit or abort owns the writing connection alone;
// turns are taken in the order of arrival. A writer is answered only after the COMMIT that holds
// its work succeeded or failed. Nobody waits for time to pass: a group is as large as the queue
// that formed while the disk was busy with the group before. If the connection's transaction is
// lost, every member of the group is told so, because their work was in it.
#include "store_impl.h"

#include <errno.h>
#include <stdlib.h>

static struct commit_group *group_create(void)
{
    struct commit_group *g = calloc(1, sizeof(*g));

    if (g)
        pthread_cond_init(&g->done_cond, NULL);
    return g;
}

static void group_destroy(struct commit_group *g)
{
    if (!g)
        return;
    pthread_cond_destroy(&g->done_cond);
    free(g);
}

// With the lock held: the connection goes to the next in line, or to nobody.
static void pass_on(struct store *s)
{
    struct list *link = list_pop(&s->waiting);

    if (link) {
        struct turn *t = LIST_ENTRY(link, struct turn, link);
        t->mine = true;
        s->stats.queued--;
        pthread_cond_signal(&t->mine_cond);
    } else {
        s->writing = false;
    }
}

// By the owner: ends the connection's transaction, well or (when `lost` says why) not, answers the
// group, and passes the connection on. Returns with *result what the group was told.
static void settle(struct store *s, const struct err *lost, struct err *result)
{
    struct commit_group *g;
    struct err err = ERR_INIT;
    bool any;

    pthread_mutex_lock(&s->lock);
    g = s->group;
    s->group = NULL;
    pthread_mutex_unlock(&s->lock);
    any = g && g->members > 0;

    if (lost) {
        err = *lost;
    } else if (any && store_fault(STORE_OP_COMMIT, &err) == 0) {
        conn_run(&s->writer, CONN_COMMIT, &err);
    }
    if ((err.code != 0 || !any) && !conn_lost_transaction(&s->writer)) {
        struct err ignored;
        conn_run(&s->writer, CONN_ROLLBACK, &ignored);
    }
    *result = err;

    pthread_mutex_lock(&s->lock);
    s->began = false;
    if (any) {
        if (err.code == 0) {
            s->stats.commits++;
            s->stats.writers += g->members;
            if (g->members > s->stats.largest_group)
                s->stats.largest_group = g->members;
        } else {
            s->stats.aborted += g->members;
        }
        g->result = err;
        g->done = true;
    }
    pass_on(s);
    if (any)
        pthread_cond_broadcast(&g->done_cond);
    else
        group_destroy(g);
    pthread_mutex_unlock(&s->lock);
}

// With the lock held and the group done: takes what it was told and leaves it.
static int leave_group(struct commit_group *g, struct err *err)
{
    int code = g->result.code;

    if (err && code != 0)
        *err = g->result;
    if (--g->members == 0)
        group_destroy(g);
    return code;
}

static int open_savepoint(struct store *s, struct err *err)
{
    struct commit_group *g = NULL;
    int r = store_fault(STORE_OP_BEGIN, err);

    if (r < 0)
        return r;
    if (!s->began) {
        g = group_create();
        if (!g)
            return err_set(err, -ENOMEM, "no memory to begin a transaction");
        r = conn_run(&s->writer, CONN_BEGIN_WRITE, err);
        if (r < 0) {
            group_destroy(g);
            return r;
        }
        pthread_mutex_lock(&s->lock);
        s->began = true;
        s->group = g;
        pthread_mutex_unlock(&s->lock);
    }
    return conn_run(&s->writer, CONN_SAVEPOINT, err);
}

// By the owner: undoes its savepoint, if it has one, and gives the connection up.
static void give_up(struct store *s, bool has_savepoint, const struct err *why)
{
    struct err lost = ERR_INIT, ignored = ERR_INIT;
    bool lead;

    if (has_savepoint && !conn_lost_transaction(&s->writer) &&
        (conn_run(&s->writer, CONN_UNDO, &lost) == 0))
        conn_run(&s->writer, CONN_RELEASE, &lost);
    if (s->began && lost.code == 0 && conn_lost_transaction(&s->writer)) {
        lost = *why;
        if (lost.code == 0)
            err_set(&lost, -EIO, "the transaction on %s was lost", s->path);
    }

    pthread_mutex_lock(&s->lock);
    if (has_savepoint)
        s->stats.aborted++;
    s->owner = (pthread_t){0};
    lead = s->began && (lost.code != 0 || list_empty(&s->waiting));
    if (!lead)
        pass_on(s);
    pthread_mutex_unlock(&s->lock);
    if (lead)
        settle(s, lost.code != 0 ? &lost : NULL, &ignored);
}

void queue_abort(struct store *s, const struct err *why)
{
    give_up(s, true, why);
}

int queue_enter(struct store *s, struct err *err)
{
    struct err why = ERR_INIT;
    int r;

    pthread_mutex_lock(&s->lock);
    if (s->writing && pthread_equal(s->owner, pthread_self())) {
        pthread_mutex_unlock(&s->lock);
        return err_set(err, -EDEADLK, "this thread is already writing to %s", s->path);
    }
    if (s->writing) {
        struct turn t = {.mine = false};
        pthread_cond_init(&t.mine_cond, NULL);
        list_append(&s->waiting, &t.link);
        s->stats.queued++;
        while (!t.mine)
            pthread_cond_wait(&t.mine_cond, &s->lock);
        pthread_cond_destroy(&t.mine_cond);
    }
    s->writing = true;
    s->owner = pthread_self();
    pthread_mutex_unlock(&s->lock);

    r = open_savepoint(s, &why);
    if (r < 0) {
        // What others did before is not touched by this writer's misfortune.
        give_up(s, false, &why);
        if (err)
            *err = why;
    }
    return r;
}

int queue_commit(struct store *s, struct err *err)
{
    struct commit_group *g;
    struct err released = ERR_INIT, ignored;
    int r;

    if (conn_run(&s->writer, CONN_RELEASE, &released) < 0) {
        queue_abort(s, &released);
        if (err)
            *err = released;
        return released.code;
    }

    pthread_mutex_lock(&s->lock);
    g = s->group;
    g->members++;
    // Until somebody else owns the connection, a second begin of this thread must not be taken
    // for a nested one.
    s->owner = (pthread_t){0};
    if (!list_empty(&s->waiting) && g->members < s->max_group) {
        pass_on(s);
        while (!g->done)
            pthread_cond_wait(&g->done_cond, &s->lock);
        r = leave_group(g, err);
        pthread_mutex_unlock(&s->lock);
        return r;
    }
    pthread_mutex_unlock(&s->lock);

    settle(s, NULL, &ignored);
    pthread_mutex_lock(&s->lock);
    r = leave_group(g, err);
    pthread_mutex_unlock(&s->lock);
    return r;
}
