// access_keys.c - access keys of users: the operations, and the copy in memory that signature
// checks on loop threads look into.
#include "services/iam/iam_impl.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/map.h"
#include "engine/auth.h"
#include "os/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct key {
    struct str id, secret, account, arn, user_id; // behind the structure
    bool active;
};

// Under its lock. The map owns its keys.
static struct {
    pthread_mutex_t lock;
    struct map by_id;
} keys = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct str put(char **at, struct str s)
{
    char *to = *at;
    memcpy(to, s.ptr, s.len);
    *at += s.len;
    return (struct str){to, s.len};
}

static struct key *key_new(struct str id, struct str secret, struct str account, struct str arn,
                           struct str user_id, bool active)
{
    struct key *k = malloc(sizeof(*k) + id.len + secret.len + account.len + arn.len + user_id.len);
    if (!k)
        return NULL;
    char *at = (char *)(k + 1);
    k->id = put(&at, id);
    k->secret = put(&at, secret);
    k->account = put(&at, account);
    k->arn = put(&at, arn);
    k->user_id = put(&at, user_id);
    k->active = active;
    return k;
}

static void clear(struct map *m)
{
    const struct map_entry *e;
    size_t at = 0;
    while ((e = map_next(m, &at)))
        free(e->value);
    map_finish(m);
}

static int read_all(struct store_tx *tx, struct map *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct arena a = {0};
    int r = store_select(tx, &s, err,
                         "SELECT " IAM_COLUMNS ", k.id, k.secret, k.active FROM access_key k"
                         " JOIN entity e ON e.id = k.entity");
    arena_init(&a, (size_t)64 << 20);
    while (r >= 0 && (r = store_step(s, err)) > 0) {
        struct iam_entity e;
        iam_read_entity(s, 0, &a, &e);
        struct key *k =
            key_new(store_col_str(s, IAM_N_COLUMNS), store_col_str(s, IAM_N_COLUMNS + 1), e.account,
                    iam_arn(&a, &e), e.id, store_col_i64(s, IAM_N_COLUMNS + 2) != 0);
        if (!k || map_set(out, k->id, k, NULL) < 0) {
            free(k);
            r = err_set(err, -ENOMEM, "access keys: out of memory");
        }
    }
    arena_finish(&a);
    return r;
}

int iam_keys_load(struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct map fresh = {0}, old;
    int r = store_begin(iam_store, STORE_READ, &tx, err);
    if (r == 0)
        r = read_all(tx, &fresh, err);
    if (r < 0) {
        clear(&fresh);
        return r;
    }
    pthread_mutex_lock(&keys.lock);
    old = keys.by_id;
    keys.by_id = fresh;
    pthread_mutex_unlock(&keys.lock);
    clear(&old);
    return 0;
}

void iam_keys_forget(void)
{
    pthread_mutex_lock(&keys.lock);
    clear(&keys.by_id);
    keys.by_id = (struct map){0};
    pthread_mutex_unlock(&keys.lock);
}

int iam_access_key_find(struct arena *arena, struct str access_key_id, struct iam_key *out,
                        struct err *err)
{
    pthread_mutex_lock(&keys.lock);
    const struct key *k = map_get(&keys.by_id, access_key_id);
    if (k) {
        out->access_key_id = arena_str(arena, k->id);
        out->secret_key = arena_str(arena, k->secret);
        out->account = arena_str(arena, k->account);
        out->user_arn = arena_str(arena, k->arn);
        out->user_id = arena_str(arena, k->user_id);
        out->active = k->active;
    }
    pthread_mutex_unlock(&keys.lock);
    return k ? 0 : err_set(err, -ENOENT, "no such access key");
}

static bool find_credential(void *ctx, struct arena *arena, struct str access_key,
                            struct str session_token, struct credential *out)
{
    struct iam_key k;
    (void)ctx;
    (void)session_token;
    if (iam_access_key_find(arena, access_key, &k, NULL) < 0)
        return false;
    *out = (struct credential){
        .secret = k.secret_key,
        .inactive = !k.active,
        .principal = {.kind = PRINCIPAL_USER,
                      .account = k.account,
                      .arn = k.user_arn,
                      .user_id = k.user_id,
                      .access_key = k.access_key_id},
    };
    return true;
}

int iam_keys_register(struct engine *e, struct err *err)
{
    return engine_add_auth_provider(e, (struct auth_provider){find_credential, NULL}, err);
}

// --- operations: the copy in memory follows each commit ---

// The user named, or the one who asks.
static int find_user(struct store_tx *tx, struct call *c, struct str name, struct iam_entity *out,
                     struct err *err)
{
    if (!str_is_null(name))
        return iam_find(tx, c->arena, c->account, IAM_USER, name, out, err);
    int r = iam_find_by_id(tx, c->arena, c->principal.user_id, out, err);
    if (r == -ENOENT)
        return err_aws(err, &WIRE_VALIDATION_ERROR,
                       "Must specify userName when calling with non-User credentials");
    return r;
}

static struct str new_secret(struct arena *a)
{
    uint8_t random[30];
    os_random(random, sizeof(random));
    return base64_arena(a, (struct str){(char *)random, sizeof(random)}); // 40 characters
}

static int create_key(struct store_tx *tx, struct call *c, const void *input, void *output,
                      struct err *err)
{
    const struct iam_create_access_key_in *in = input;
    struct iam_create_access_key_out *out = output;
    struct iam_entity user;
    int64_t n;
    int r = find_user(tx, c, in->user_name, &user, err);
    if (r == 0)
        r = iam_count(tx, "SELECT COUNT(*) FROM access_key WHERE entity = ?", user.id, &n, err);
    if (r < 0)
        return r;
    if (n >= IAM_MAX_ACCESS_KEYS)
        return err_aws(err, &IAM_LIMIT_EXCEEDED_EXCEPTION,
                       "Cannot exceed quota for AccessKeysPerUser: %d", IAM_MAX_ACCESS_KEYS);
    struct iam_access_key *k = arena_new(c->arena, struct iam_access_key);
    if (!k)
        return -ENOMEM;
    k->user_name = user.name;
    k->access_key_id = iam_unique_id(c->arena, "AKIA", 16);
    k->secret_access_key = new_secret(c->arena);
    k->status = STR("Active");
    WIRE_SET(k, create_date, c->now_ms / 1000 * 1000);
    out->access_key = k;
    n = store_exec(tx, err,
                   "INSERT INTO access_key (id, entity, secret, active, created_ms)"
                   " VALUES (?, ?, ?, 1, ?)",
                   SQL_STR(k->access_key_id), SQL_STR(user.id), SQL_STR(k->secret_access_key),
                   SQL_I64(k->create_date));
    return n < 0 ? (int)n : 0;
}

int iam_create_access_key(struct call *c, const struct iam_create_access_key_in *in,
                          struct iam_create_access_key_out *out, struct err *err)
{
    int r = iam_change(c, create_key, in, out, err);
    return r < 0 ? r : iam_keys_load(err);
}

static int list_keys(struct store_tx *tx, struct call *c, const void *input, void *output,
                     struct err *err)
{
    const struct iam_list_access_keys_in *in = input;
    struct iam_list_access_keys_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity user;
    struct iam_page page;
    struct str last = STR_NULL;
    bool more = false;
    int r = iam_page_begin(c, in->marker, in->has_max_items, in->max_items, &page, err);
    if (r == 0)
        r = find_user(tx, c, in->user_name, &user, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT id, active, created_ms FROM access_key WHERE entity = ? AND id > ?"
                         " ORDER BY id LIMIT ?",
                         SQL_STR(user.id), SQL_STR(page.after), SQL_I64(page.max + 1));
    if (r < 0)
        return r;
    out->access_key_metadata.ptr =
        arena_new_array(c->arena, struct iam_access_key_metadata, (size_t)page.max);
    while (out->access_key_metadata.ptr && (r = store_step(s, err)) > 0) {
        more = out->access_key_metadata.n == (size_t)page.max;
        if (more)
            break;
        struct iam_access_key_metadata *k =
            &out->access_key_metadata.ptr[out->access_key_metadata.n++];
        k->user_name = user.name;
        k->access_key_id = last = store_take_str(s, 0, c->arena);
        k->status = store_col_i64(s, 1) ? STR("Active") : STR("Inactive");
        WIRE_SET(k, create_date, store_col_i64(s, 2));
    }
    IAM_PAGE_END(c, out, more, last);
    return r < 0 ? r : 0;
}

int iam_list_access_keys(struct call *c, const struct iam_list_access_keys_in *in,
                         struct iam_list_access_keys_out *out, struct err *err)
{
    return iam_look(c, list_keys, in, out, err);
}

static int no_key(struct str id, struct err *err)
{
    return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION,
                   "The Access Key with id %.*s cannot be found.", STR_ARG(id));
}

static int update_key(struct store_tx *tx, struct call *c, const void *input, void *output,
                      struct err *err)
{
    const struct iam_update_access_key_in *in = input;
    struct iam_entity user;
    int r = find_user(tx, c, in->user_name, &user, err);
    (void)output;
    if (r < 0)
        return r;
    int64_t n = store_exec(tx, err, "UPDATE access_key SET active = ? WHERE id = ? AND entity = ?",
                           SQL_I64(str_eq(in->status, STR("Active"))), SQL_STR(in->access_key_id),
                           SQL_STR(user.id));
    return n < 0 ? (int)n : n == 0 ? no_key(in->access_key_id, err) : 0;
}

int iam_update_access_key(struct call *c, const struct iam_update_access_key_in *in,
                          struct iam_update_access_key_out *out, struct err *err)
{
    int r = iam_change(c, update_key, in, out, err);
    return r < 0 ? r : iam_keys_load(err);
}

static int delete_key(struct store_tx *tx, struct call *c, const void *input, void *output,
                      struct err *err)
{
    const struct iam_delete_access_key_in *in = input;
    struct iam_entity user;
    int r = find_user(tx, c, in->user_name, &user, err);
    (void)output;
    if (r < 0)
        return r;
    int64_t n = store_exec(tx, err, "DELETE FROM access_key WHERE id = ? AND entity = ?",
                           SQL_STR(in->access_key_id), SQL_STR(user.id));
    return n < 0 ? (int)n : n == 0 ? no_key(in->access_key_id, err) : 0;
}

int iam_delete_access_key(struct call *c, const struct iam_delete_access_key_in *in,
                          struct iam_delete_access_key_out *out, struct err *err)
{
    int r = iam_change(c, delete_key, in, out, err);
    return r < 0 ? r : iam_keys_load(err);
}

static int last_used(struct store_tx *tx, struct call *c, const void *input, void *output,
                     struct err *err)
{
    const struct iam_get_access_key_last_used_in *in = input;
    struct iam_get_access_key_last_used_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT e.name FROM access_key k JOIN entity e ON e.id = k.entity"
                         " WHERE k.id = ? AND e.account = ?",
                         SQL_STR(in->access_key_id), SQL_STR(c->account));
    if (r == 0)
        r = store_step(s, err);
    if (r < 0)
        return r;
    if (r == 0)
        return no_key(in->access_key_id, err);
    out->user_name = store_take_str(s, 0, c->arena);
    out->access_key_last_used = arena_new(c->arena, struct iam_access_key_last_used);
    if (!out->access_key_last_used)
        return -ENOMEM;
    // Use is not recorded: what AWS answers for a key that was never used.
    out->access_key_last_used->service_name = STR("N/A");
    out->access_key_last_used->region = STR("N/A");
    return 0;
}

int iam_get_access_key_last_used(struct call *c, const struct iam_get_access_key_last_used_in *in,
                                 struct iam_get_access_key_last_used_out *out, struct err *err)
{
    return iam_look(c, last_used, in, out, err);
}
