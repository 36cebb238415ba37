// fuzz_mapping_template.c - a template, a NUL, and the message it is applied to. What the check
// takes must render.
#include "fuzz.h"
#include "services/gateway/mapping_template.h"

#include <errno.h>

static struct str lookup(void *ctx, struct str name)
{
    (void)ctx;
    return name.len % 2 ? name : STR_NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = fuzz_input(data, size), body = STR("");
    ptrdiff_t at = str_find_char(all, 0);
    struct err err = ERR_INIT;
    struct arena a;
    struct str out;

    if (at >= 0) {
        body = str_slice(all, (size_t)at + 1, all.len);
        all = str_slice(all, 0, (size_t)at);
    }
    const struct template_source from = {body, lookup, NULL};
    int checked = mapping_template_check(all, &err);
    arena_init(&a, 8 << 20);
    int r = mapping_template_render(&a, all, &from, &out, &err);
    FUZZ_CHECK(checked < 0 || r == 0 || err.code == -EFBIG || err.code == -ENOMEM);
    arena_finish(&a);
    return 0;
}
