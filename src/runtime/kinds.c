// kinds.c - which interpreter runs a function, and which spares could become its environment.
//
// A kind is an interpreter, or custom. Java's are made for one memory size each, because the heap's
// size is settled when a JVM starts: the first sizes that functions ask for get kinds of their own
// ("sized"), functions of other sizes then are started without a spare.

#include "runtime/runtime_impl.h"

#include "os/log.h"
#include "runtime/files.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define FIRST_SIZED (RUNTIME_CUSTOM_KIND + 1)

// Filled from the front and never changed after: [0, n) may be read without the lock.
static struct {
    pthread_mutex_t lock;
    atomic_uint n;
    struct sized {
        unsigned interpreter, memory_mb;
    } list[RUNTIME_SIZED_KINDS];
} sized = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool in_java_folder(const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/runtime/" RUNTIME_JAVA_FOLDER "/%s", runtime.data_dir, name);
    return access(path, R_OK) == 0;
}

bool kind_java_client(void)
{
    return in_java_folder(RUNTIME_JAVA_CLIENT);
}

// Our own, of this very version: an older daemon's stays unused until it is installed again.
static bool java_bootstrap(void)
{
    static atomic_bool found, told;
    char name[RUNTIME_JAVA_NAME_BYTES];

    if (atomic_load(&found))
        return true;
    runtime_java_name(name);
    if (in_java_folder(name) && kind_java_client()) {
        atomic_store(&found, true);
        return true;
    }
    if (kind_java_client() && !atomic_exchange(&told, true))
        log_warn("Java functions start slowly: `lambkin runtime install java` again, with a javac "
                 "on the host, would make them quicker");
    return false;
}

const struct interpreter *runtime_interpreter(struct str runtime_name)
{
    struct interpreter_wish wish = interpreter_wish(runtime_name);
    bool exact;

    return interpreters_choose(&runtime.interpreters, &wish, &exact);
}

static unsigned find_sized(unsigned interpreter, unsigned memory_mb)
{
    for (unsigned i = 0; i < atomic_load(&sized.n); i++)
        if (sized.list[i].interpreter == interpreter && sized.list[i].memory_mb == memory_mb)
            return FIRST_SIZED + i;
    return RUNTIME_NO_KIND;
}

static unsigned sized_kind(unsigned interpreter, unsigned memory_mb)
{
    unsigned kind = find_sized(interpreter, memory_mb), n;

    if (kind != RUNTIME_NO_KIND)
        return kind;
    pthread_mutex_lock(&sized.lock);
    n = atomic_load(&sized.n);
    kind = find_sized(interpreter, memory_mb);
    if (kind == RUNTIME_NO_KIND && n < RUNTIME_SIZED_KINDS) {
        sized.list[n] = (struct sized){interpreter, memory_mb};
        atomic_store(&sized.n, n + 1);
        kind = FIRST_SIZED + n;
    }
    pthread_mutex_unlock(&sized.lock);
    return kind == RUNTIME_NO_KIND ? interpreter : kind;
}

unsigned runtime_kind(const struct function_config *f)
{
    const struct interpreter *in;

    if (f->image_dir.len > 0)
        return RUNTIME_CUSTOM_KIND;
    in = runtime_interpreter(f->runtime);
    if (in && in->kind == INTERPRETER_JAVA && java_bootstrap())
        return sized_kind((unsigned)(in - runtime.interpreters.list), f->memory_mb);
    if (in && interpreter_framed(in->kind))
        return (unsigned)(in - runtime.interpreters.list);
    // A client of the Runtime API is a custom runtime with a program that we name.
    return in || interpreter_wish(f->runtime).custom ? RUNTIME_CUSTOM_KIND : RUNTIME_NO_KIND;
}

const struct interpreter *kind_interpreter(unsigned kind)
{
    if (kind >= FIRST_SIZED && kind < FIRST_SIZED + atomic_load(&sized.n))
        kind = sized.list[kind - FIRST_SIZED].interpreter;
    return kind < runtime.interpreters.n ? &runtime.interpreters.list[kind] : NULL;
}

unsigned kind_memory_mb(unsigned kind)
{
    return kind >= FIRST_SIZED && kind < FIRST_SIZED + atomic_load(&sized.n)
               ? sized.list[kind - FIRST_SIZED].memory_mb
               : 0;
}

bool kind_has_spares(unsigned kind)
{
    const struct interpreter *in = kind < RUNTIME_SPARE_KINDS ? kind_interpreter(kind) : NULL;

    return kind < RUNTIME_SPARE_KINDS &&
           (!in || in->kind != INTERPRETER_JAVA || kind_memory_mb(kind) > 0);
}

bool kind_warms_up(unsigned kind)
{
    return kind_memory_mb(kind) > 0;
}

struct runtime_choice runtime_choose(struct str runtime_name)
{
    struct interpreter_wish wish = interpreter_wish(runtime_name);
    struct runtime_choice c = {.known = wish.known, .available = wish.custom, .exact = wish.custom};
    const struct interpreter *in = runtime_interpreter(runtime_name);

    if (in) {
        c.available = in->kind != INTERPRETER_JAVA || kind_java_client();
        c.mend = c.available ? NULL : "`lambkin runtime install java` fetches its runtime client.";
        c.exact = interpreter_is(in, &wish);
        snprintf(c.interpreter, sizeof(c.interpreter), "%s", in->path);
        snprintf(c.version, sizeof(c.version), "%s", in->version);
    }
    return c;
}
