// urls.c - function URLs as records; the HTTP edge (services/gateway) answers them.
//
// A record's FunctionUrl holds the URL's id alone: host and port are those of whoever asks.
#include "services/lambda/lambda_impl.h"

#include "os/random.h"

#include <errno.h>
#include <stdio.h>

#define ID_CHARS 32

void urls_index(struct lambda *l, struct fn *f)
{
    for (unsigned i = 0; i < f->n_records; i++) {
        if (f->records[i]->kind != RECORD_URL)
            continue;
        const struct lambda_function_url_config *u = f->records[i]->value;
        // Without memory the URL is not found until the next start; everything else works.
        map_set(&l->urls, u->function_url, f, NULL);
    }
}

void urls_unindex(struct lambda *l, struct fn *f)
{
    for (unsigned i = 0; i < f->n_records; i++)
        if (f->records[i]->kind == RECORD_URL) {
            const struct lambda_function_url_config *u = f->records[i]->value;
            map_remove(&l->urls, u->function_url);
        }
}

void urls_finish(struct lambda *l)
{
    map_finish(&l->urls);
}

static struct str new_id(struct arena *a)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t random[ID_CHARS];
    char *id = arena_alloc(a, ID_CHARS);

    if (!id)
        return STR_NULL;
    os_random(random, sizeof(random));
    for (size_t i = 0; i < ID_CHARS; i++)
        id[i] = letters[random[i] & 31];
    return (struct str){id, ID_CHARS};
}

// "http://<id>.lambda-url.<region>.localhost:4566/" with the scheme and port that the client used.
static struct str url_text(struct call *c, struct str id)
{
    ptrdiff_t slashes = str_find(c->base_url, STR("://"));
    struct str scheme = str_slice(c->base_url, 0, slashes < 0 ? 0 : (size_t)slashes);
    struct str host = str_slice(c->base_url, scheme.len + 3, c->base_url.len);
    struct str port = STR("");

    for (size_t i = host.len; i > 0; i--) {
        char ch = host.ptr[i - 1];
        if (ch == ':') {
            port = str_slice(host, i - 1, host.len);
            break;
        }
        if (ch < '0' || ch > '9')
            break;
    }
    return arena_printf(c->arena, "%.*s://%.*s.lambda-url.%.*s.localhost%.*s/", STR_ARG(scheme),
                        STR_ARG(id), STR_ARG(c->region), STR_ARG(port));
}

static int find_for_url(struct lambda *l, struct call *c, struct str name, struct str qualifier,
                        struct fn_target *t, struct fn_record **record, struct err *err)
{
    int r = fn_find(l, c, name, qualifier, t, err);

    if (r < 0)
        return r;
    if (str_eq(t->qualifier, STR(LAMBDA_LATEST)) || lambda_version_number(t->qualifier) > 0)
        return lambda_invalid(err, "A function URL belongs to the unqualified function or to an "
                                   "alias.");
    if (!fn_qualifier_exists(t->fn, t->qualifier))
        return fn_not_found(err, t->arn);
    if (str_is_null(t->qualifier))
        t->qualifier = STR("");
    *record = fn_record_of(t->fn, RECORD_URL, t->qualifier);
    return 0;
}

static int url_not_found(struct err *err)
{
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                   "The resource you requested does not exist.");
}

static int save_url(struct lambda *l, const struct fn_target *t,
                    const struct lambda_function_url_config *u, struct err *err)
{
    struct fn_record *record = NULL;
    int r = fn_record_new(RECORD_URL, t->qualifier, u, &record, err);

    return r < 0 ? r : fn_save_record(l, t->fn, record, err);
}

int lambda_create_function_url_config(struct call *c,
                                      const struct lambda_create_function_url_config_in *in,
                                      struct lambda_create_function_url_config_out *out,
                                      struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_url(l, c, in->function_name, in->qualifier, &t, &record, err);

    if (r < 0)
        return r;
    if (record) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_RESOURCE_CONFLICT_EXCEPTION,
                       "Failed to create function url config for [functionArn = %.*s]. Error "
                       "message:  FunctionUrlConfig exists for this Lambda function",
                       STR_ARG(t.arn));
    }
    struct str now = lambda_time(c->arena, c->now_ms);
    const struct lambda_function_url_config u = {
        .function_url = new_id(c->arena),
        .function_arn = t.arn,
        .creation_time = now,
        .last_modified_time = now,
        .cors = in->cors,
        .auth_type = in->auth_type,
        .invoke_mode = in->invoke_mode.len > 0 ? in->invoke_mode : STR("BUFFERED"),
    };
    r = save_url(l, &t, &u, err);
    if (r < 0)
        return r;
    c->status = 201;
    out->function_url = url_text(c, u.function_url);
    out->function_arn = u.function_arn;
    out->auth_type = u.auth_type;
    out->cors = u.cors;
    out->creation_time = u.creation_time;
    out->invoke_mode = u.invoke_mode;
    return 0;
}

int lambda_get_function_url_config(struct call *c,
                                   const struct lambda_get_function_url_config_in *in,
                                   struct lambda_get_function_url_config_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_url(l, c, in->function_name, in->qualifier, &t, &record, err);

    if (r == 0 && !record)
        r = url_not_found(err);
    if (r < 0)
        return r;
    fn_record_hold(c, record);
    const struct lambda_function_url_config *u = record->value;
    *out = (struct lambda_get_function_url_config_out){
        .function_url = url_text(c, u->function_url),
        .function_arn = u->function_arn,
        .auth_type = u->auth_type,
        .cors = u->cors,
        .creation_time = u->creation_time,
        .last_modified_time = u->last_modified_time,
        .invoke_mode = u->invoke_mode,
    };
    return 0;
}

int lambda_update_function_url_config(struct call *c,
                                      const struct lambda_update_function_url_config_in *in,
                                      struct lambda_update_function_url_config_out *out,
                                      struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_url(l, c, in->function_name, in->qualifier, &t, &record, err);

    if (r == 0 && !record)
        r = url_not_found(err);
    if (r < 0)
        return r;
    fn_record_hold(c, record);
    struct lambda_function_url_config u = *(const struct lambda_function_url_config *)record->value;
    if (in->auth_type.len > 0)
        u.auth_type = in->auth_type;
    if (in->cors)
        u.cors = in->cors;
    if (in->invoke_mode.len > 0)
        u.invoke_mode = in->invoke_mode;
    u.last_modified_time = lambda_time(c->arena, c->now_ms);
    r = save_url(l, &t, &u, err);
    if (r < 0)
        return r;
    *out = (struct lambda_update_function_url_config_out){
        .function_url = url_text(c, u.function_url),
        .function_arn = u.function_arn,
        .auth_type = u.auth_type,
        .cors = u.cors,
        .creation_time = u.creation_time,
        .last_modified_time = u.last_modified_time,
        .invoke_mode = u.invoke_mode,
    };
    return 0;
}

int lambda_delete_function_url_config(struct call *c,
                                      const struct lambda_delete_function_url_config_in *in,
                                      struct lambda_delete_function_url_config_out *out,
                                      struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_url(l, c, in->function_name, in->qualifier, &t, &record, err);

    (void)out;
    if (r == 0 && !record)
        r = url_not_found(err);
    return r < 0 ? r : fn_drop_record(l, t.fn, RECORD_URL, t.qualifier, err);
}

int lambda_list_function_url_configs(struct call *c,
                                     const struct lambda_list_function_url_configs_in *in,
                                     struct lambda_list_function_url_configs_out *out,
                                     struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    const struct fn_page_request asked = {FN_PAGE_ASKED(in), NULL, NULL};
    struct fn_page page;
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r == 0)
        r = fn_records_page(c, t.fn, RECORD_URL, &asked, &page, err);
    if (r < 0)
        return r;
    struct lambda_function_url_config *urls =
        arena_new_array(c->arena, struct lambda_function_url_config, page.n + 1);
    if (!urls)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < page.n; i++) {
        fn_record_hold(c, page.list[i]);
        urls[i] = *(const struct lambda_function_url_config *)page.list[i]->value;
        urls[i].function_url = url_text(c, urls[i].function_url);
    }
    out->function_url_configs.ptr = urls;
    out->function_url_configs.n = page.n;
    out->next_marker = page.next_marker;
    return 0;
}

// --- for the HTTP edge ---

static struct fn_record *record_by_id(const struct fn *f, struct str id)
{
    for (unsigned i = 0; i < f->n_records; i++) {
        if (f->records[i]->kind != RECORD_URL)
            continue;
        const struct lambda_function_url_config *u = f->records[i]->value;
        if (str_eq(u->function_url, id))
            return f->records[i];
    }
    return NULL;
}

int lambda_url_find(struct engine *e, struct arena *a, struct str id, struct lambda_url *out)
{
    const struct call c = {.engine = e, .state = engine_state(e, &lambda_service)};
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look((struct call *)&c);
    struct fn *f = map_get(&l->urls, id);
    struct fn_record *record = f ? record_by_id(f, id) : NULL;

    if (!record) {
        // The path style: a function of the default account and region by its name.
        struct lambda_name n;
        if (!lambda_name_parse(id, &n) || !str_is_null(n.account))
            return -ENOENT;
        f = fn_get(l, str_from(engine_config(e)->account), str_from(engine_config(e)->region),
                   n.name);
        if (f)
            record = fn_record_of(f, RECORD_URL, str_is_null(n.qualifier) ? STR("") : n.qualifier);
        if (!record)
            return -ENOENT;
    }
    const struct lambda_function_url_config *u = record->value;
    *out = (struct lambda_url){.auth_iam = !str_eq(u->auth_type, STR("NONE")),
                               .stream = str_eq(u->invoke_mode, STR("RESPONSE_STREAM"))};
    snprintf(out->id, sizeof(out->id), "%.*s", STR_ARG(u->function_url));
    snprintf(out->account, sizeof(out->account), "%.*s", STR_ARG(f->account));
    snprintf(out->region, sizeof(out->region), "%.*s", STR_ARG(f->region));
    snprintf(out->function, sizeof(out->function), "%.*s", STR_ARG(f->name));
    snprintf(out->qualifier, sizeof(out->qualifier), "%.*s", STR_ARG(record->qualifier));
    if (u->cors) {
        _cleanup_(buf_finishp) struct buf b = {0};
        buf_init(&b, LAMBDA_MAX_DOC_BYTES);
        if (wire_shape_to_json(&wire_lambda, LAMBDA_SHAPE_CORS, u->cors, &b) < 0 || b.failed)
            return -ENOMEM;
        out->cors_json = arena_str(a, buf_str(&b));
    }
    return 0;
}
