// inside.c - see inside.h.
#include "engine/engine_impl.h"
#include "engine/inside.h"

#include "os/time.h"

#include <errno.h>

int engine_inside_call(struct engine *e, struct engine_inside *i, struct err *err)
{
    struct engine_slot *slot = NULL;

    for (unsigned k = 0; k < e->n_slots && !slot; k++)
        if (strcmp(e->slots[k].service->wire->signing_name, i->service) == 0)
            slot = &e->slots[k];
    if (!slot)
        return err_set(err, -ENOENT, "there is no service %s here", i->service);
    struct call *c = engine_call_new(e, i->http);
    if (!c)
        return err_set(err, -ENOMEM, "out of memory");
    struct call_run *r = run_of(c);
    c->principal = (struct principal){
        .kind = PRINCIPAL_ROOT,
        .account = i->account,
        .arn = arena_printf(c->arena, "arn:aws:iam::%.*s:root", STR_ARG(i->account)),
        .user_id = i->account,
    };
    c->account = i->account;
    c->region = i->region;
    c->service = slot->service;
    c->state = slot->state;
    r->slot = slot;
    r->http_in = i->request;
    r->http_in_ready = r->authenticated = r->intercepted = true;
    r->inside = i;
    call_begin(r);
    call_dispatch(r);
    return 0;
}

void inside_answer(struct call_run *r, int status)
{
    struct engine_inside *i = r->inside;
    struct wire_http_out answer = r->answer;

    call_done(&r->call, status);
    i->done(i, status, answer.headers, answer.n_headers, buf_str(&answer.body));
    wire_http_out_finish(&answer);
}

void inside_gone(struct call_run *r)
{
    struct engine_inside *i = r->inside;

    call_done(&r->call, 499);
    i->done(i, 499, NULL, 0, STR(""));
}
