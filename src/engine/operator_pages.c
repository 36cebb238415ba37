// operator_pages.c - pages for operators that want a signature: `lambkin events`, `routes`,
// `trace`.
#include "engine/engine_impl.h"

#include "base/json.h"

#include <errno.h>

#define MAX_PAGE_BYTES ((size_t)64 << 20)

int engine_add_operator_page(struct engine *e, const struct engine_operator_page *page,
                             struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&e->adding);
    if (e->n_operator_pages < ENGINE_MAX_OPERATOR_PAGES)
        e->operator_pages[e->n_operator_pages++] = page;
    else
        r = err_set(err, -ENOSPC, "too many pages");
    pthread_mutex_unlock(&e->adding);
    return r;
}

static const struct engine_operator_page *page_of(struct engine *e, const struct http_request *req)
{
    for (unsigned i = 0; i < e->n_operator_pages; i++) {
        const struct engine_operator_page *p = e->operator_pages[i];
        if (str_eq(req->path, str_from(p->path)) && str_eq(req->method, str_from(p->method)))
            return p;
    }
    return NULL;
}

static void write_page(struct call *c)
{
    const struct engine_operator_page *page = c->interceptor;
    struct err err = ERR_INIT;
    struct buf b;

    buf_init(&b, MAX_PAGE_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    int r = page->write(c, &w, &err);
    jw_object_end(&w);
    if (r == 0 && b.failed)
        r = err_set(&err, -ENOMEM, "out of memory");
    struct str body = r == 0 ? arena_str(c->arena, buf_str(&b)) : STR_NULL;
    buf_finish(&b);
    call_finish(c, 200, STR("application/json"), body, r < 0 ? &err : NULL);
}

bool operator_pages_take(struct engine *e, struct http_request *req)
{
    const struct engine_operator_page *page =
        str_starts(req->path, STR("/_")) ? page_of(e, req) : NULL;
    struct err err = ERR_INIT;

    if (!page)
        return false;
    struct call *c = engine_call_new(e, req);
    if (!c) {
        http_request_drop(req);
        return true;
    }
    c->interceptor = (void *)page;
    if (engine_authenticate(c, NULL, &err) < 0)
        call_fail(c, &err);
    else
        call_work(c, write_page);
    return true;
}
