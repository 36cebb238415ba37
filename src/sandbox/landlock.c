// landlock.c - see landlock.h. Rights that an older ABI does not know are left out.
#include "sandbox/landlock.h"

#include "sandbox/kernel.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/stat.h>

// By number: the headers of the build machine may be older than the kernel that runs us.
#define RIGHT_REFER (1ull << 13)        // ABI 2
#define RIGHT_TRUNCATE (1ull << 14)     // ABI 3
#define RIGHT_IOCTL_DEV (1ull << 15)    // ABI 5
#define SCOPE_ABSTRACT_UNIX (1ull << 0) // ABI 6
#define SCOPE_SIGNAL (1ull << 1)
#define RIGHTS_READ                                                                                \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_OF_FILES                                                                            \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |   \
     RIGHT_TRUNCATE | RIGHT_IOCTL_DEV)

struct ruleset_attr { // of ABI 6; shorter ones are prefixes
    uint64_t fs, net, scoped;
};

int landlock_abi(void)
{
    long r = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* version */);
    return r > 0 ? (int)r : 0;
}

static uint64_t rights_of(int abi)
{
    uint64_t all = (1ull << 13) - 1;
    if (abi >= 2)
        all |= RIGHT_REFER;
    if (abi >= 3)
        all |= RIGHT_TRUNCATE;
    if (abi >= 5)
        all |= RIGHT_IOCTL_DEV;
    return all;
}

static int allow(int rules, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -errno;
    struct stat st;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rights &= RIGHTS_OF_FILES;
    struct landlock_path_beneath_attr a = {.allowed_access = rights, .parent_fd = fd};
    int r =
        syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &a, 0) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int landlock_confine(int abi, const char *const *readable, const char *const *writable)
{
    uint64_t all = rights_of(abi);
    struct ruleset_attr attr = {.fs = all};
    size_t size = sizeof(attr.fs);
    if (abi >= 6) {
        attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
        size = sizeof(attr);
    }
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (rules < 0)
        return -errno;
    int r = 0;
    for (; r == 0 && *readable; readable++)
        r = allow(rules, *readable, RIGHTS_READ & all);
    for (; r == 0 && *writable; writable++)
        r = allow(rules, *writable, all);
    if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        r = -errno;
    close(rules);
    return r;
}
