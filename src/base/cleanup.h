// cleanup.h - what goes out of scope is freed: _cleanup_(x) on a local variable.
#ifndef LAMBKIN_BASE_CLEANUP_H
#define LAMBKIN_BASE_CLEANUP_H

#include <stdlib.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void freep(void *p)
{
    free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(freep)

#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) *_pp = &(p);                                                                 \
        __typeof__(p) _v = *_pp;                                                                   \
        *_pp = NULL;                                                                               \
        _v;                                                                                        \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
