// triggers.c - see triggers.h.

#include "triggers/triggers.h"

#include "engine/engine.h"
#include "os/log.h"
#include "os/time.h"
#include "triggers/async.h"
#include "triggers/event_store.h"
#include "triggers/mapping_runner.h"
#include "triggers/operator.h"

#include <errno.h>
#include <stdlib.h>

static struct store *triggers_store;

int triggers_register(struct engine *e, struct err *err)
{
    int r = async_register(e);

    if (r == 0)
        r = mapping_runner_register(e);
    return r < 0 ? r : operator_register(e, err);
}

int triggers_start(struct engine *e, struct err *err)
{
    _cleanup_free_ char *path = engine_path(e, "db/triggers.db");
    struct err sweep = ERR_INIT;

    if (!path)
        return err_set(err, -ENOMEM, "out of memory");
    int r = event_store_open(path, &triggers_store, err);
    if (r < 0)
        return err_wrap(err, "asynchronous events");
    if (event_store_sweep(triggers_store, os_now_ms(), &sweep) < 0)
        log_warn("failed events of long ago: %s", sweep.message);
    r = async_start(e, triggers_store, err);
    return r < 0 ? r : mapping_runner_start(e, err);
}

void triggers_drain(void)
{
    mapping_runner_drain();
    async_drain();
}

unsigned triggers_busy(void)
{
    return mapping_runner_busy() + async_busy();
}

void triggers_stop(void)
{
    mapping_runner_stop();
    async_stop();
    store_close(triggers_store);
    triggers_store = NULL;
}
