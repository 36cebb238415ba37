// tags.c - the tags of APIs, stages, domain names and VPC links.

#include "services/gateway/kinds.h"
#include "wire/gen/apigatewayv2.h"
#include "wire/gen/apigatewayv2_handlers.h"
#include "wire/wire.h"

#include <errno.h>

// "arn:aws:apigateway:<region>::/apis/<id>[/stages/<name>]", "…::/domainnames/<name>",
// "…::/vpclinks/<id>".
static int tagged(struct str arn, const struct resource_kind **kind, struct str *parent,
                  struct str *id, struct err *err)
{
    ptrdiff_t at = str_find(arn, STR("::/"));
    struct str rest = at < 0 ? STR_NULL : str_slice(arn, (size_t)at + 3, arn.len);
    struct str noun = STR_NULL, stages = STR_NULL;

    *parent = STR("");
    if (str_next(&rest, '/', &noun) && str_next(&rest, '/', id) && id->len > 0) {
        if (str_eq(noun, STR("domainnames")) && !rest.ptr)
            return *kind = &kind_domain_name, 0;
        if (str_eq(noun, STR("vpclinks")) && !rest.ptr)
            return *kind = &kind_vpc_link, 0;
        if (str_eq(noun, STR("apis")) && !rest.ptr)
            return *kind = &kind_api, 0;
        if (str_eq(noun, STR("apis")) && str_next(&rest, '/', &stages) &&
            str_eq(stages, STR("stages")) && rest.len > 0) {
            *parent = *id;
            *id = rest;
            return *kind = &kind_stage, 0;
        }
    }
    return err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, "Invalid ARN specified: %.*s",
                   STR_ARG(arn));
}

// Loads, lets `change` make the new "tags" object, stores. `change` NULL: only reads.
static int with_tags(struct call *c, struct str arn,
                     int (*change)(const void *in, const struct json_value *tags,
                                   struct json_writer *w),
                     const void *in, const struct json_value **tags, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    const struct json_value *record, *over;
    const struct resource_kind *kind = NULL;
    struct str parent, id;
    struct buf b;

    int r = tagged(arn, &kind, &parent, &id, err);
    if (r == 0)
        r = store_begin(resources_store(), change ? STORE_WRITE : STORE_READ, &tx, err);
    if (r == 0)
        r = resource_load(c, tx, kind, parent, id, &record, err);
    if (r == 0)
        return err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION, "Invalid resource identifier");
    if (r < 0)
        return r;
    *tags = json_get(record, "tags");
    if (!change)
        return 0;
    buf_init(&b, 1 << 20);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_key(&w, STR("tags"));
    jw_object_begin(&w);
    change(in, *tags, &w);
    jw_object_end(&w);
    jw_object_end(&w);
    struct str text = b.failed ? STR_NULL : arena_str(c->arena, buf_str(&b));
    buf_finish(&b);
    r = text.ptr ? json_parse(c->arena, text, &over, err) : err_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = resource_store(c, tx, kind, parent, id, resource_overlay(c->arena, record, over), err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0 && kind == &kind_vpc_link) // its tags say where it leads to
        resource_announce(c, kind, parent, id);
    return r;
}

static int add_tags(const void *in, const struct json_value *tags, struct json_writer *w)
{
    const struct apigatewayv2_tag_resource_in *t = in;

    json_each(m, tags)
    {
        bool replaced = false;
        for (size_t i = 0; i < t->tags.n; i++)
            replaced = replaced || str_eq(t->tags.ptr[i].key, m->key);
        if (replaced)
            continue;
        jw_key(w, m->key);
        jw_raw(w, m->raw);
    }
    for (size_t i = 0; i < t->tags.n; i++) {
        jw_key(w, t->tags.ptr[i].key);
        jw_str(w, t->tags.ptr[i].value);
    }
    return 0;
}

static int remove_tags(const void *in, const struct json_value *tags, struct json_writer *w)
{
    const struct apigatewayv2_untag_resource_in *t = in;

    json_each(m, tags)
    {
        bool removed = false;
        for (size_t i = 0; i < t->tag_keys.n; i++)
            removed = removed || str_eq(t->tag_keys.ptr[i], m->key);
        if (removed)
            continue;
        jw_key(w, m->key);
        jw_raw(w, m->raw);
    }
    return 0;
}

int apigatewayv2_tag_resource(struct call *c, const struct apigatewayv2_tag_resource_in *in,
                              struct apigatewayv2_tag_resource_out *out, struct err *err)
{
    const struct json_value *ignored;

    (void)out;
    c->status = 201;
    return with_tags(c, in->resource_arn, add_tags, in, &ignored, err);
}

int apigatewayv2_untag_resource(struct call *c, const struct apigatewayv2_untag_resource_in *in,
                                struct apigatewayv2_untag_resource_out *out, struct err *err)
{
    const struct json_value *ignored;

    (void)out;
    c->status = 204;
    return with_tags(c, in->resource_arn, remove_tags, in, &ignored, err);
}

int apigatewayv2_get_tags(struct call *c, const struct apigatewayv2_get_tags_in *in,
                          struct apigatewayv2_get_tags_out *out, struct err *err)
{
    const struct json_value *tags;

    int r = with_tags(c, in->resource_arn, NULL, NULL, &tags, err);
    if (r < 0)
        return r;
    return wire_shape_from_json(
        &wire_apigatewayv2, c->op->out,
        arena_printf(c->arena, "{\"tags\":%.*s}", STR_ARG(tags ? tags->raw : STR("{}"))), c->arena,
        out, err);
}
