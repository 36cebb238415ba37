// failing_vfs.c - see failing_vfs.h. Reads, writes, truncations and syncs are counted together.
//
// Not thread-safe: the torture is done by one thread.
#include "failing_vfs.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

static enum failing_kind armed;
static int countdown;
static bool always, struck;

void failing_arm(enum failing_kind kind, int n, bool forever)
{
    armed = kind;
    countdown = n;
    always = forever;
    struck = false;
}

bool failing_disarm(void)
{
    armed = FAIL_NOTHING;
    return struck;
}

static bool strike(void)
{
    if (countdown > 0) {
        countdown--;
        return false;
    }
    if (struck && !always)
        return false;
    struck = true;
    return true;
}

bool failing_allocation(void)
{
    return armed == FAIL_MEMORY && strike();
}

// --- files ---

struct file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct file *)f)->real;
}

static int f_close(sqlite3_file *f)
{
    sqlite3_file *real = real_of(f);
    int r = real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;

    free(real);
    return r;
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    if (armed == FAIL_IO && strike())
        return SQLITE_IOERR_READ;
    return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (armed == FAIL_IO && strike())
        return SQLITE_IOERR_WRITE;
    if (armed == FAIL_FULL && strike()) {
        // As a disk does it: the first half is written.
        real_of(f)->pMethods->xWrite(real_of(f), p, n / 2, at);
        return SQLITE_FULL;
    }
    return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    if (armed == FAIL_IO && strike())
        return SQLITE_IOERR_TRUNCATE;
    return real_of(f)->pMethods->xTruncate(real_of(f), n);
}

static int f_sync(sqlite3_file *f, int flags)
{
    if (armed == FAIL_IO && strike())
        return SQLITE_IOERR_FSYNC;
    // Nobody pulls the plug here, so the disk need not be waited for.
    (void)f;
    (void)flags;
    return SQLITE_OK;
}

static int f_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), n);
}

static int f_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int f_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int f_characteristics(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int f_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int f_shm_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_reserved,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_characteristics,
    .xShmMap = f_shm_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier,
    .xShmUnmap = f_shm_unmap,
};

static sqlite3_vfs *below;

static int v_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    struct file *file = (struct file *)f;
    int r;

    (void)vfs;
    file->base.pMethods = NULL;
    file->real = calloc(1, (size_t)below->szOsFile);
    if (!file->real)
        return SQLITE_NOMEM;
    r = below->xOpen(below, name, file->real, flags, out_flags);
    if (r != SQLITE_OK)
        free(file->real);
    else
        file->base.pMethods = &methods;
    return r;
}

// --- memory ---

static sqlite3_mem_methods memory_below;

static void *m_malloc(int n)
{
    return failing_allocation() ? NULL : memory_below.xMalloc(n);
}

static void *m_realloc(void *p, int n)
{
    return failing_allocation() ? NULL : memory_below.xRealloc(p, n);
}

void failing_install(void)
{
    static sqlite3_vfs layer;
    sqlite3_mem_methods memory;

    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory_below);
    memory = memory_below;
    memory.xMalloc = m_malloc;
    memory.xRealloc = m_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);
    // No lookaside: every small allocation then passes by here.
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    below = sqlite3_vfs_find(NULL);
    layer = *below;
    layer.zName = "failing";
    layer.szOsFile = sizeof(struct file);
    layer.xOpen = v_open;
    layer.pNext = NULL;
    sqlite3_vfs_register(&layer, 1);
}
