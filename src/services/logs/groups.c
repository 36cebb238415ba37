// groups.c - operations on log groups: create, delete, describe, retention, protection.
//
// Invariant: log_groups.admin is held from the look at the registry to the commit, so a row in SQL
// and a group in the registry appear and go together.
#include "services/logs/logs_impl.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "os/log.h"
#include "services/logs/log_store.h"

#include <errno.h>
#include <stdlib.h>

#define DESCRIBE_MAX 50 // DescribeLogGroups, limit

int logs_no_group(struct err *err)
{
    return err_aws(err, &LOGS_RESOURCE_NOT_FOUND_EXCEPTION,
                   "The specified log group does not exist.");
}

int logs_no_stream(struct err *err)
{
    return err_aws(err, &LOGS_RESOURCE_NOT_FOUND_EXCEPTION,
                   "The specified log stream does not exist.");
}

// arn:aws:logs:<region>:<account>:log-group:<name>[:*] -> name; anything else as it is.
static struct str name_of_identifier(struct str id)
{
    struct str part, rest = id;
    if (!str_starts(id, STR("arn:")))
        return id;
    for (int i = 0; i < 6; i++) {
        if (!str_next(&rest, ':', &part))
            return id;
    }
    if (!str_eq(part, STR("log-group")) || str_is_null(rest))
        return id;
    if (str_ends(rest, STR(":*")))
        rest.len -= 2;
    return rest;
}

int logs_find_group(struct call *c, struct str name, struct str identifier, struct log_group **out,
                    struct err *err)
{
    if (str_is_null(name) == str_is_null(identifier))
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "Exactly one of logGroupName and logGroupIdentifier must be specified.");
    if (str_is_null(name))
        name = name_of_identifier(identifier);
    *out = log_group_get(c->account, c->region, name);
    return *out ? 0 : logs_no_group(err);
}

struct str logs_group_arn(struct call *c, const struct log_group *g)
{
    return call_arn(c, "logs", "log-group:%.*s", STR_ARG(g->name));
}

struct str logs_page_token(struct call *c, struct str last_name)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    buf_init(&b, 4096);
    base64url_encode(&b, last_name);
    return arena_str(c->arena, buf_str(&b));
}

int logs_page_token_read(struct call *c, struct str token, struct str *last_name, struct err *err)
{
    *last_name = STR_NULL;
    if (str_is_null(token))
        return 0;
    if (base64url_decode(c->arena, token, last_name) < 0)
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "The specified nextToken is invalid.");
    return 0;
}

// The group's row as it is now. Under log_groups.admin.
static int save_group(struct log_group *g, const struct logs_tags *tags, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(log_groups.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = log_store_put_group(tx, g, err);
    for (size_t i = 0; r == 0 && tags && i < tags->n; i++)
        r = log_store_put_tag(tx, logs_tag_owner(g), tags->ptr[i].key, tags->ptr[i].value, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0) {
        pthread_mutex_lock(&g->lock);
        g->saved = true;
        pthread_mutex_unlock(&g->lock);
    }
    return r;
}

static int create(struct call *c, const struct logs_create_log_group_in *in, struct err *err)
{
    bool made;
    _cleanup_(log_group_unrefp) struct log_group *g =
        log_group_make(c->account, c->region, in->log_group_name, c->now_ms, &made);
    if (!g)
        return err_set(err, -ENOMEM, "log group: out of memory");
    if (!made)
        return err_aws(err, &LOGS_RESOURCE_ALREADY_EXISTS_EXCEPTION,
                       "The specified log group already exists");
    pthread_mutex_lock(&g->lock);
    if (str_eq(in->log_group_class, STR("INFREQUENT_ACCESS")))
        g->class = STR("INFREQUENT_ACCESS");
    else if (str_eq(in->log_group_class, STR("DELIVERY")))
        g->class = STR("DELIVERY");
    g->protected = in->deletion_protection_enabled;
    if (!str_is_null(in->kms_key_id)) {
        char *copy = strndup(in->kms_key_id.ptr, in->kms_key_id.len);
        g->kms_key = (struct str){copy, copy ? in->kms_key_id.len : 0};
    }
    pthread_mutex_unlock(&g->lock);
    int r = save_group(g, &in->tags, err);
    if (r < 0)
        log_group_remove(g, NULL);
    return r;
}

int logs_create_log_group(struct call *c, const struct logs_create_log_group_in *in,
                          struct logs_create_log_group_out *out, struct err *err)
{
    (void)out;
    if (str_starts(in->log_group_name, STR("aws/")))
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "Log groups starting with AWS/ are reserved for AWS.");
    pthread_mutex_lock(&log_groups.admin);
    int r = create(c, in, err);
    pthread_mutex_unlock(&log_groups.admin);
    return r;
}

static int delete_group(struct log_group *g, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct err ignored = ERR_INIT;
    // The files first: a crash in between leaves an empty group, not the events of a deleted one.
    int r = log_group_remove(g, &ignored);
    if (r == -ENOENT)
        return logs_no_group(err);
    if (r < 0)
        log_warn("logs: delete %.*s: %s", STR_ARG(g->name), ignored.message);
    r = store_begin(log_groups.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = log_store_delete_group(tx, g, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int logs_delete_log_group(struct call *c, const struct logs_delete_log_group_in *in,
                          struct logs_delete_log_group_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, in->log_group_name, STR_NULL, &g, err);
    (void)out;
    if (r < 0)
        return r;
    pthread_mutex_lock(&g->lock);
    bool protected = g->protected;
    pthread_mutex_unlock(&g->lock);
    if (protected)
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "The specified log group is protected against deletion.");
    pthread_mutex_lock(&log_groups.admin);
    r = delete_group(g, err);
    pthread_mutex_unlock(&log_groups.admin);
    return r;
}

// Applies a change of the group's own fields and saves it.
static int change(struct call *c, struct str name, struct str identifier, int64_t retention_days,
                  int protect, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, name, identifier, &g, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&log_groups.admin);
    pthread_mutex_lock(&g->lock);
    if (retention_days >= 0)
        g->retention_days = retention_days;
    if (protect >= 0)
        g->protected = protect > 0;
    bool deleted = g->deleted;
    pthread_mutex_unlock(&g->lock);
    r = deleted ? logs_no_group(err) : save_group(g, NULL, err);
    pthread_mutex_unlock(&log_groups.admin);
    return r;
}

int logs_put_retention_policy(struct call *c, const struct logs_put_retention_policy_in *in,
                              struct logs_put_retention_policy_out *out, struct err *err)
{
    static const int16_t allowed[] = {1,   3,   5,   7,   14,   30,   60,   90,   120,  150,  180,
                                      365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653};
    (void)out;
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        if (in->retention_in_days == allowed[i])
            return change(c, in->log_group_name, STR_NULL, in->retention_in_days, -1, err);
    }
    return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                   "1 validation error detected: Value '%lld' at 'retentionInDays' failed to "
                   "satisfy constraint: Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, "
                   "60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, "
                   "3288, 3653]",
                   (long long)in->retention_in_days);
}

int logs_delete_retention_policy(struct call *c, const struct logs_delete_retention_policy_in *in,
                                 struct logs_delete_retention_policy_out *out, struct err *err)
{
    (void)out;
    return change(c, in->log_group_name, STR_NULL, 0, -1, err);
}

int logs_put_log_group_deletion_protection(
    struct call *c, const struct logs_put_log_group_deletion_protection_in *in,
    struct logs_put_log_group_deletion_protection_out *out, struct err *err)
{
    (void)out;
    return change(c, STR_NULL, in->log_group_identifier, -1, in->deletion_protection_enabled, err);
}

// --- listing ---

static void describe(struct call *c, struct log_group *g, struct logs_log_group *out)
{
    log_group_load(g, NULL);
    pthread_mutex_lock(&g->lock);
    int64_t bytes = 0;
    for (size_t i = 0; i < g->n_segments; i++)
        bytes += g->segments[i].message_bytes;
    out->log_group_name = arena_str(c->arena, g->name);
    out->log_group_arn = logs_group_arn(c, g);
    out->arn = arena_printf(c->arena, "%.*s:*", STR_ARG(out->log_group_arn));
    WIRE_SET(out, creation_time, g->created_ms);
    if (g->retention_days > 0)
        WIRE_SET(out, retention_in_days, g->retention_days);
    WIRE_SET(out, metric_filter_count, 0);
    WIRE_SET(out, stored_bytes, bytes);
    WIRE_SET(out, deletion_protection_enabled, g->protected);
    if (!str_is_null(g->kms_key))
        out->kms_key_id = arena_str(c->arena, g->kms_key);
    out->log_group_class = g->class;
    pthread_mutex_unlock(&g->lock);
}

static bool contains_nocase(struct str s, struct str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++) {
        if (str_eq_nocase(str_slice(s, i, i + part.len), part))
            return true;
    }
    return false;
}

struct listing {
    struct str prefix, pattern, class, after;
    const struct str *identifiers;
    size_t n_identifiers;
};

static bool listed(const struct listing *l, const struct log_group *g)
{
    bool named = l->n_identifiers == 0;
    for (size_t i = 0; !named && i < l->n_identifiers; i++)
        named = str_eq(name_of_identifier(l->identifiers[i]), g->name);
    return named && str_starts(g->name, l->prefix) && contains_nocase(g->name, l->pattern) &&
           (str_is_null(l->class) || str_eq(l->class, g->class)) &&
           (str_is_null(l->after) || str_cmp(g->name, l->after) > 0);
}

// Keeps the first `limit` of the account's groups that are listed; *more: there are others.
static int list_groups(struct call *c, const struct listing *l, size_t limit,
                       struct log_group ***out, size_t *n, size_t *n_all, bool *more,
                       struct err *err)
{
    struct log_group **list;
    size_t kept = 0;
    if (log_group_list(c->account, c->region, &list, n_all) < 0)
        return err_set(err, -ENOMEM, "log groups: out of memory");
    *more = false;
    for (size_t i = 0; i < *n_all; i++) {
        if (!listed(l, list[i]))
            continue;
        if (kept == limit) {
            *more = true;
            break;
        }
        struct log_group *g = list[i];
        list[i] = list[kept];
        list[kept++] = g;
    }
    *out = list;
    *n = kept;
    return 0;
}

int logs_describe_log_groups(struct call *c, const struct logs_describe_log_groups_in *in,
                             struct logs_describe_log_groups_out *out, struct err *err)
{
    struct listing l = {
        .prefix = in->log_group_name_prefix,
        .pattern = in->log_group_name_pattern,
        .class = in->log_group_class,
        .identifiers = in->log_group_identifiers.ptr,
        .n_identifiers = in->log_group_identifiers.n,
    };
    struct log_group **list = NULL;
    size_t n = 0, n_all = 0;
    bool more;
    if (!str_is_null(l.prefix) && !str_is_null(l.pattern))
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "LogGroup name prefix and LogGroup name pattern are mutually exclusive "
                       "parameters.");
    int r = logs_page_token_read(c, in->next_token, &l.after, err);
    if (r == 0)
        r = list_groups(c, &l, (size_t)WIRE_GET(in, limit, DESCRIBE_MAX), &list, &n, &n_all, &more,
                        err);
    if (r < 0)
        return r;
    out->log_groups.ptr = arena_new_array(c->arena, struct logs_log_group, n + 1);
    for (size_t i = 0; out->log_groups.ptr && i < n; i++)
        describe(c, list[i], &out->log_groups.ptr[out->log_groups.n++]);
    if (more && n > 0)
        out->next_token = logs_page_token(c, list[n - 1]->name);
    log_group_list_free(list, n_all);
    return out->log_groups.ptr ? 0 : err_set(err, -ENOMEM, "log groups: out of memory");
}

int logs_list_log_groups(struct call *c, const struct logs_list_log_groups_in *in,
                         struct logs_list_log_groups_out *out, struct err *err)
{
    struct listing l = {.pattern = in->log_group_name_pattern, .class = in->log_group_class};
    struct log_group **list = NULL;
    size_t n = 0, n_all = 0;
    bool more;
    int r = logs_page_token_read(c, in->next_token, &l.after, err);
    if (r == 0)
        r = list_groups(c, &l, (size_t)WIRE_GET(in, limit, DESCRIBE_MAX), &list, &n, &n_all, &more,
                        err);
    if (r < 0)
        return r;
    out->log_groups.ptr = arena_new_array(c->arena, struct logs_log_group_summary, n + 1);
    for (size_t i = 0; out->log_groups.ptr && i < n; i++) {
        struct logs_log_group_summary *s = &out->log_groups.ptr[out->log_groups.n++];
        s->log_group_name = arena_str(c->arena, list[i]->name);
        s->log_group_arn = logs_group_arn(c, list[i]);
        s->log_group_class = list[i]->class;
    }
    if (more && n > 0)
        out->next_token = logs_page_token(c, list[n - 1]->name);
    log_group_list_free(list, n_all);
    return out->log_groups.ptr ? 0 : err_set(err, -ENOMEM, "log groups: out of memory");
}
