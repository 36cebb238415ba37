// failing_vfs.h - a layer between SQLite and the disk, and one below its allocator, that fail the
// nth time they are asked.
#ifndef LAMBKIN_TEST_UNIT_STORE_FAILING_VFS_H
#define LAMBKIN_TEST_UNIT_STORE_FAILING_VFS_H

#include <stdbool.h>

enum failing_kind { FAIL_NOTHING, FAIL_IO, FAIL_FULL, FAIL_MEMORY };

// Once, before SQLite is used for the first time.
void failing_install(void);
// From now on: the nth operation of the kind (from 0) fails; with `forever`, so do all after it.
void failing_arm(enum failing_kind kind, int n, bool forever);
// Ends it; did it strike?
bool failing_disarm(void);
// Asked by the test's own malloc, calloc and realloc.
bool failing_allocation(void);

#endif
