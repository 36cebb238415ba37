// table.c - functions in memory: found by name, with their versions and records.
//
// Invariant: what is in here is committed. Arrays are grown before the commit (fn_reserve), so that
// after it nothing can fail.
#include "services/lambda/lambda_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct lambda *lambda_change(struct call *c)
{
    struct lambda *l = lambda_of(c);

    pthread_mutex_lock(&l->change);
    return l;
}

void lambda_change_end(struct lambda **l)
{
    pthread_mutex_unlock(&(*l)->change);
}

struct lambda *lambda_look(struct call *c)
{
    struct lambda *l = lambda_of(c);

    pthread_rwlock_rdlock(&l->table);
    return l;
}

void lambda_look_end(struct lambda **l)
{
    pthread_rwlock_unlock(&(*l)->table);
}

// --- finding ---

#define KEY_MAX 160

struct fn *fn_get(struct lambda *l, struct str account, struct str region, struct str name)
{
    char key[KEY_MAX];
    int n = snprintf(key, sizeof(key), "%.*s/%.*s/%.*s", STR_ARG(account), STR_ARG(region),
                     STR_ARG(name));

    if (n < 0 || (size_t)n >= sizeof(key))
        return NULL;
    return map_get(&l->functions, (struct str){key, (size_t)n});
}

int fn_not_found(struct err *err, struct str arn)
{
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION, "Function not found: %.*s",
                   STR_ARG(arn));
}

static int bad_name(struct err *err, struct str name)
{
    return err_aws(err, wire_lambda.validation,
                   "1 validation error detected: Value '%.*s' at 'functionName' failed to satisfy "
                   "constraint: Member must satisfy regular expression pattern: "
                   "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?"
                   "(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?",
                   (int)(name.len > 140 ? 140 : name.len), name.ptr);
}

int fn_find(struct lambda *l, struct call *c, struct str name, struct str qualifier,
            struct fn_target *out, struct err *err)
{
    static const struct aws_error denied = {"AccessDeniedException", NULL, 403, true};
    struct lambda_name n;

    if (!lambda_name_parse(name, &n))
        return bad_name(err, name);
    if (!str_is_null(qualifier) && qualifier.len > 0) {
        if (!lambda_qualifier_valid(qualifier))
            return lambda_invalid(err, "The qualifier '%.*s' is not valid.",
                                  (int)(qualifier.len > 128 ? 128 : qualifier.len), qualifier.ptr);
        if (!str_is_null(n.qualifier) && !str_eq(n.qualifier, qualifier))
            return lambda_invalid(err, "The derived qualifier from the function name does not "
                                       "match the specified qualifier.");
        n.qualifier = qualifier;
    }
    if (!str_is_null(n.region) && !str_eq(n.region, c->region))
        return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                       "Functions from '%.*s' are not reachable in this region ('%.*s')",
                       STR_ARG(n.region), STR_ARG(c->region));
    struct str arn =
        arena_printf(c->arena, "arn:aws:lambda:%.*s:%.*s:function:%.*s%s%.*s", STR_ARG(c->region),
                     STR_ARG(str_is_null(n.account) ? c->account : n.account), STR_ARG(n.name),
                     str_is_null(n.qualifier) ? "" : ":", STR_ARG(n.qualifier));
    if (!str_is_null(n.account) && !str_eq(n.account, c->account))
        return err_aws(err, &denied,
                       "User: %.*s is not authorized to perform: lambda:%s on resource: %.*s "
                       "because no resource-based policy allows the action",
                       STR_ARG(c->principal.arn), c->op ? c->op->name : "InvokeFunction",
                       STR_ARG(arn));
    struct fn *f = fn_get(l, c->account, c->region, n.name);
    if (!f)
        return fn_not_found(err, arn);
    *out = (struct fn_target){.fn = f, .qualifier = n.qualifier, .arn = arn};
    return 0;
}

struct fn_version *fn_version_number(const struct fn *f, uint64_t number)
{
    unsigned low = 0, high = f->n_versions;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (f->versions[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < f->n_versions && f->versions[low]->number == number ? f->versions[low] : NULL;
}

struct fn_record *fn_record_of(const struct fn *f, enum record_kind kind, struct str qualifier)
{
    for (unsigned i = 0; i < f->n_records; i++)
        if (f->records[i]->kind == kind && str_eq(f->records[i]->qualifier, qualifier))
            return f->records[i];
    return NULL;
}

static struct fn_version *version_named(const struct fn *f, struct str qualifier)
{
    if (qualifier.len == 0 || str_eq(qualifier, STR(LAMBDA_LATEST)))
        return f->n_versions > 0 && f->versions[0]->number == 0 ? f->versions[0] : NULL;
    uint64_t number = lambda_version_number(qualifier);
    return number > 0 ? fn_version_number(f, number) : NULL;
}

int fn_version_of(const struct fn_target *t, struct fn_version **out, struct err *err)
{
    struct fn_version *v = version_named(t->fn, t->qualifier);

    if (!v) {
        struct fn_record *alias = fn_record_of(t->fn, RECORD_ALIAS, t->qualifier);
        if (alias) {
            const struct lambda_alias_configuration *a = alias->value;
            v = version_named(t->fn, a->function_version);
        }
    }
    if (!v)
        return fn_not_found(err, t->arn);
    *out = v;
    return 0;
}

bool fn_qualifier_exists(const struct fn *f, struct str qualifier)
{
    return version_named(f, qualifier) || fn_record_of(f, RECORD_ALIAS, qualifier);
}

static int by_name(const void *a, const void *b)
{
    const struct fn *x = *(struct fn *const *)a, *y = *(struct fn *const *)b;

    return str_cmp(x->name, y->name);
}

int fn_list(struct lambda *l, struct arena *a, struct str account, struct str region,
            struct fn ***out, size_t *n)
{
    struct fn **list = arena_new_array(a, struct fn *, l->functions.n + 1);
    const struct map_entry *e;
    size_t at = 0, count = 0;

    if (!list)
        return -ENOMEM;
    while ((e = map_next(&l->functions, &at)) != NULL) {
        struct fn *f = e->value;
        if (str_eq(f->account, account) && str_eq(f->region, region))
            list[count++] = f;
    }
    qsort(list, count, sizeof(*list), by_name);
    *out = list;
    *n = count;
    return 0;
}

// --- changing ---

struct fn *fn_new(struct str account, struct str region, struct str name)
{
    struct fn *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    arena_init(&f->arena, 64 * 1024);
    f->key =
        arena_printf(&f->arena, "%.*s/%.*s/%.*s", STR_ARG(account), STR_ARG(region), STR_ARG(name));
    f->account = arena_str(&f->arena, account);
    f->region = arena_str(&f->arena, region);
    f->name = arena_str(&f->arena, name);
    f->arn = arena_printf(&f->arena, "arn:aws:lambda:%.*s:%.*s:function:%.*s", STR_ARG(region),
                          STR_ARG(account), STR_ARG(name));
    f->next_version = 1;
    if (str_is_null(f->arn) || str_is_null(f->key)) {
        fn_free(f);
        return NULL;
    }
    return f;
}

void fn_free(struct fn *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < f->n_versions; i++)
        fn_version_unref(f->versions[i]);
    for (unsigned i = 0; i < f->n_records; i++)
        fn_record_unref(f->records[i]);
    free(f->versions);
    free(f->records);
    arena_finish(&f->arena);
    free(f);
}

// Room for one more version and two more records.
int fn_reserve(struct lambda *l, struct fn *f)
{
    int r = 0;

    pthread_rwlock_wrlock(&l->table);
    if (f->n_versions == f->cap_versions) {
        unsigned cap = f->cap_versions ? f->cap_versions * 2 : 4;
        void *more = realloc(f->versions, cap * sizeof(*f->versions));
        if (more) {
            f->versions = more;
            f->cap_versions = cap;
        } else {
            r = -ENOMEM;
        }
    }
    if (f->n_records + 2 > f->cap_records) {
        unsigned cap = f->cap_records ? f->cap_records * 2 : 4;
        void *more = realloc(f->records, cap * sizeof(*f->records));
        if (more) {
            f->records = more;
            f->cap_records = cap;
        } else {
            r = -ENOMEM;
        }
    }
    pthread_rwlock_unlock(&l->table);
    return r;
}

void fn_put(struct lambda *l, struct fn *f)
{
    pthread_rwlock_wrlock(&l->table);
    map_set(&l->functions, f->key, f, NULL);
    urls_index(l, f);
    pthread_rwlock_unlock(&l->table);
}

void fn_remove(struct lambda *l, struct fn *f)
{
    pthread_rwlock_wrlock(&l->table);
    urls_unindex(l, f);
    map_remove(&l->functions, f->key);
    pthread_rwlock_unlock(&l->table);
    fn_free(f);
}

void fn_put_version(struct lambda *l, struct fn *f, struct fn_version *v)
{
    unsigned at = 0;
    struct fn_version *old = NULL;

    pthread_rwlock_wrlock(&l->table);
    while (at < f->n_versions && f->versions[at]->number < v->number)
        at++;
    if (at < f->n_versions && f->versions[at]->number == v->number) {
        old = f->versions[at];
    } else {
        memmove(&f->versions[at + 1], &f->versions[at],
                (f->n_versions - at) * sizeof(*f->versions));
        f->n_versions++;
    }
    f->versions[at] = v;
    if (v->number >= f->next_version)
        f->next_version = v->number + 1;
    pthread_rwlock_unlock(&l->table);
    fn_version_unref(old);
}

void fn_remove_version(struct lambda *l, struct fn *f, uint64_t number)
{
    struct fn_version *old = NULL;

    pthread_rwlock_wrlock(&l->table);
    for (unsigned i = 0; i < f->n_versions; i++)
        if (f->versions[i]->number == number) {
            old = f->versions[i];
            memmove(&f->versions[i], &f->versions[i + 1],
                    (f->n_versions - i - 1) * sizeof(*f->versions));
            f->n_versions--;
            break;
        }
    pthread_rwlock_unlock(&l->table);
    fn_version_unref(old);
}

void fn_put_record(struct lambda *l, struct fn *f, struct fn_record *r)
{
    struct fn_record *old = NULL;
    unsigned at = 0;

    pthread_rwlock_wrlock(&l->table);
    while (at < f->n_records &&
           (f->records[at]->kind != r->kind || !str_eq(f->records[at]->qualifier, r->qualifier)))
        at++;
    if (at < f->n_records)
        old = f->records[at];
    else
        f->n_records++;
    f->records[at] = r;
    if (r->kind == RECORD_URL)
        urls_index(l, f);
    pthread_rwlock_unlock(&l->table);
    fn_record_unref(old);
}

void fn_remove_record(struct lambda *l, struct fn *f, enum record_kind kind, struct str qualifier)
{
    struct fn_record *old = NULL;

    pthread_rwlock_wrlock(&l->table);
    for (unsigned i = 0; i < f->n_records; i++)
        if (f->records[i]->kind == kind && str_eq(f->records[i]->qualifier, qualifier)) {
            if (kind == RECORD_URL)
                urls_unindex(l, f);
            old = f->records[i];
            f->records[i] = f->records[--f->n_records];
            if (kind == RECORD_URL)
                urls_index(l, f);
            break;
        }
    pthread_rwlock_unlock(&l->table);
    fn_record_unref(old);
}

// --- references ---

struct fn_version *fn_version_ref(struct fn_version *v)
{
    atomic_fetch_add(&v->refs, 1);
    return v;
}

void fn_version_unref(struct fn_version *v)
{
    if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
        return;
    function_config_unref(v->snapshot);
    function_config_unref(v->hot_snapshot);
    hot_folder_unref(v->hot);
    arena_finish(&v->arena);
    free(v);
}

void fn_version_unrefp(struct fn_version **v)
{
    fn_version_unref(*v);
}

void fn_record_unref(struct fn_record *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    arena_finish(&r->arena);
    free(r);
}

void fn_record_unrefp(struct fn_record **r)
{
    fn_record_unref(*r);
}

static void version_release(void *p)
{
    fn_version_unref(p);
}

static void record_release(void *p)
{
    fn_record_unref(p);
}

void fn_version_hold(struct call *c, struct fn_version *v)
{
    call_defer(c, version_release, fn_version_ref(v));
}

void fn_record_hold(struct call *c, struct fn_record *r)
{
    atomic_fetch_add(&r->refs, 1);
    call_defer(c, record_release, r);
}
