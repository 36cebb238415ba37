// interpreters.c - looking for interpreters in PATH and where version managers put them.

#include "sandbox/interpreters.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PYTHON_OLDEST_MINOR 8 // the bootstraps are written for these and newer
#define NODE_OLDEST_MAJOR 18
#define JAVA_OLDEST_MAJOR 8
#define RUBY_OLDEST_MAJOR 3
#define DOTNET_OLDEST_MAJOR 6

// What is particular to each kind. Versions differ in kind by the minor number where the languages
// count so, else by the major one alone.
static const struct kind {
    const char *name, *title;
    bool by_minor, framed;
} kinds[] = {
    [INTERPRETER_PYTHON] = {"python", "Python", true, true},
    [INTERPRETER_NODE] = {"nodejs", "Node.js", false, true},
    [INTERPRETER_JAVA] = {"java", "Java", false, false},
    [INTERPRETER_RUBY] = {"ruby", "Ruby", true, true},
    [INTERPRETER_DOTNET] = {"dotnet", ".NET", false, false},
};

const char *interpreter_name(enum interpreter_kind kind)
{
    return kinds[kind].name;
}

const char *interpreter_title(enum interpreter_kind kind)
{
    return kinds[kind].title;
}

bool interpreter_framed(enum interpreter_kind kind)
{
    return kinds[kind].framed;
}

// Reads digits at *s and moves it on; false without any.
static bool take_number(const char **s, unsigned *out)
{
    unsigned n = 0;
    const char *c = *s;

    if (*c < '0' || *c > '9')
        return false;
    for (; *c >= '0' && *c <= '9' && n < 100000; c++)
        n = n * 10 + (unsigned)(*c - '0');
    *s = c;
    *out = n;
    return true;
}

// An executable that is not a script (a shim); resolves links into `real`.
static bool real_program(const char *path, char real[static PATH_MAX])
{
    _cleanup_close_ int fd = -1;
    char magic[4];

    if (!realpath(path, real) || access(real, X_OK) < 0)
        return false;
    fd = open(real, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && fd_read_full(fd, magic, 4) == 4 && memcmp(magic, "\177ELF", 4) == 0;
}

static bool have(const struct interpreters *l, enum interpreter_kind kind, unsigned major,
                 unsigned minor)
{
    for (unsigned i = 0; i < l->n; i++) {
        const struct interpreter *p = &l->list[i];
        if (p->kind == kind && p->major == major && (!kinds[kind].by_minor || p->minor == minor))
            return true;
    }
    return false;
}

static struct interpreter *add(struct interpreters *l, enum interpreter_kind kind, unsigned major,
                               unsigned minor, const char *path)
{
    struct interpreter *p;

    if (l->n == INTERPRETERS_MAX || strlen(path) >= sizeof(p->path))
        return NULL;
    p = &l->list[l->n++];
    *p = (struct interpreter){.kind = kind, .major = major, .minor = minor};
    memcpy(p->path, path, strlen(path) + 1);
    snprintf(p->version, sizeof(p->version), "%u.%u", major, minor);
    return p;
}

static void look_for_python(struct interpreters *l, const char *dir, const char *name)
{
    char path[PATH_MAX], real[PATH_MAX];
    const char *at = name + strlen("python3.");
    unsigned minor, major, patch;
    struct interpreter *p;

    if (strncmp(name, "python3.", 8) != 0 || !take_number(&at, &minor) || *at)
        return;
    if (minor < PYTHON_OLDEST_MINOR || have(l, INTERPRETER_PYTHON, 3, minor))
        return;
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
        !real_program(path, real))
        return;
    p = add(l, INTERPRETER_PYTHON, 3, minor, real);
    if (!p)
        return;
    // Version managers name the folder after the version: …/3.11.7/bin
    for (at = real; (at = strchr(at, '/')); at++) {
        const char *end = at + 1;
        if (take_number(&end, &major) && *end++ == '.' && take_number(&end, &minor) &&
            *end++ == '.' && take_number(&end, &patch) && *end == '/' && major == 3 &&
            minor == p->minor)
            snprintf(p->version, sizeof(p->version), "3.%u.%u", minor, patch);
    }
}

// What an earlier look found, and when; main has one thread.
static const struct interpreters *earlier;
static time_t earlier_at;

static const struct interpreter *unchanged(const char *real)
{
    struct stat st;

    for (unsigned i = 0; earlier && i < earlier->n; i++)
        if (strcmp(earlier->list[i].path, real) == 0 && stat(real, &st) == 0 &&
            st.st_ctime < earlier_at)
            return &earlier->list[i];
    return NULL;
}

// What `path --version` says, up to its line's end, with "v" or "ruby " in front taken off; runs it
// with nothing of the operator's in its environment. Empty when it cannot say.
static void ask_version(const char *path, const char *real, char to[static 32])
{
    char flag[] = "--version", search[] = "PATH=/usr/bin:/bin";
    char *const argv[] = {(char *)path, flag, NULL};
    char *const envp[] = {search, NULL};
    const struct spawn s = {.path = real, .argv = argv, .envp = envp, .cwd = "/"};
    struct str line = STR_NULL, word = STR_NULL, rest;
    struct buf out;
    int status = 0;

    to[0] = '\0';
    buf_init(&out, 1024);
    if (spawn_run(&s, 5000, &out, &status, NULL) == 0 && status == 0) {
        rest = buf_str(&out);
        str_next(&rest, '\n', &line);
        rest = line;
        str_next(&rest, ' ', &word);
        if (str_eq(word, STR("ruby")))
            str_next(&rest, ' ', &word);
        if (word.len > 1 && word.ptr[0] == 'v')
            word = str_slice(word, 1, word.len);
        rest = word; // "3.1.2p20"
        str_next(&rest, 'p', &word);
        if (word.len < 32)
            snprintf(to, 32, "%.*s", STR_ARG(word));
    }
    buf_finish(&out);
}

// `node` and `ruby`: what the file is does not say which version, so it is asked.
static void look_for_asked(struct interpreters *l, const char *dir, const char *name,
                           enum interpreter_kind kind, unsigned oldest)
{
    char path[PATH_MAX], real[PATH_MAX], version[32] = "";
    unsigned major, minor;
    struct interpreter *p;
    const char *at = version;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
        !real_program(path, real))
        return;
    for (unsigned i = 0; i < l->n; i++)
        if (strcmp(l->list[i].path, real) == 0)
            return;
    if (unchanged(real) && l->n < INTERPRETERS_MAX) {
        l->list[l->n++] = *unchanged(real);
        return;
    }
    ask_version(path, real, version);
    if (!take_number(&at, &major) || *at++ != '.' || !take_number(&at, &minor) || major < oldest ||
        have(l, kind, major, minor))
        return;
    p = add(l, kind, major, minor, real);
    if (p)
        memcpy(p->version, version, sizeof(version));
}

// A Java home says its version in its file `release`: JAVA_VERSION="17.0.15" ("1.8.0_402").
static void look_for_java(struct interpreters *l, const char *dir)
{
    char path[PATH_MAX], real[PATH_MAX], release[PATH_MAX + 16], version[32] = "";
    unsigned major = 0, minor = 0;
    struct str text, line, key = STR("JAVA_VERSION=\"");
    struct interpreter *p;
    struct arena arena;
    const char *at = version;

    if (snprintf(path, sizeof(path), "%s/java", dir) >= (int)sizeof(path) ||
        !real_program(path, real))
        return;
    snprintf(release, sizeof(release), "%.*s", (int)(strrchr(real, '/') - real), real);
    if (!strrchr(release, '/'))
        return;
    snprintf(strrchr(release, '/'), 16, "/release");
    arena_init(&arena, 1 << 20);
    if (read_file(&arena, release, 64 * 1024, &text, NULL) == 0)
        while (str_next(&text, '\n', &line))
            if (str_starts(line, key) && line.len - key.len - 1 < sizeof(version))
                snprintf(version, sizeof(version), "%.*s", (int)(line.len - key.len - 1),
                         line.ptr + key.len);
    arena_finish(&arena);
    if (!take_number(&at, &major))
        return;
    if (major == 1 && *at == '.') {
        at++;
        if (!take_number(&at, &major))
            return;
    } else if (*at == '.') {
        at++;
        take_number(&at, &minor);
    }
    if (major < JAVA_OLDEST_MAJOR || have(l, INTERPRETER_JAVA, major, minor))
        return;
    p = add(l, INTERPRETER_JAVA, major, minor, real);
    if (p)
        memcpy(p->version, version, sizeof(version));
}

static int by_name_descending(const struct dirent **a, const struct dirent **b)
{
    return strverscmp((*b)->d_name, (*a)->d_name);
}

// One `dotnet` runs all the versions in the folder beside it. Sandboxes show what is below /usr,
// and the tree around a folder called bin.
static void look_for_dotnet(struct interpreters *l, const char *dir)
{
    char path[PATH_MAX], real[PATH_MAX], runtimes[PATH_MAX + 32];
    struct dirent **names = NULL;
    int n;

    if (snprintf(path, sizeof(path), "%s/dotnet", dir) >= (int)sizeof(path) ||
        !real_program(path, real))
        return;
    snprintf(runtimes, sizeof(runtimes), "%.*s", (int)(strrchr(real, '/') - real), real);
    if (strncmp(real, "/usr/", 5) != 0 && !str_ends(str_from(runtimes), STR("/bin")))
        return;
    snprintf(runtimes + strlen(runtimes), 32, "/shared/Microsoft.NETCore.App");
    n = scandir(runtimes, &names, NULL, by_name_descending);
    for (int i = 0; i < n; i++) {
        const char *at = names[i]->d_name;
        unsigned major, minor;
        struct interpreter *p;

        if (take_number(&at, &major) && *at++ == '.' && take_number(&at, &minor) && *at == '.' &&
            major >= DOTNET_OLDEST_MAJOR && !have(l, INTERPRETER_DOTNET, major, minor) &&
            strlen(names[i]->d_name) < sizeof(p->version)) {
            p = add(l, INTERPRETER_DOTNET, major, minor, real);
            if (p)
                snprintf(p->version, sizeof(p->version), "%.31s", names[i]->d_name);
        }
        free(names[i]);
    }
    free(names);
}

static void look_in(struct interpreters *l, const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;

    if (!d)
        return;
    while ((e = readdir(d)))
        look_for_python(l, dir, e->d_name);
    closedir(d);
    look_for_asked(l, dir, "node", INTERPRETER_NODE, NODE_OLDEST_MAJOR);
    look_for_java(l, dir);
    look_for_asked(l, dir, "ruby", INTERPRETER_RUBY, RUBY_OLDEST_MAJOR);
    look_for_dotnet(l, dir);
}

// base/<every version, newest first>/bin
static void look_in_versions(struct interpreters *l, const char *base)
{
    struct dirent **names = NULL;
    char dir[PATH_MAX];
    int n = scandir(base, &names, NULL, by_name_descending);

    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.' &&
            snprintf(dir, sizeof(dir), "%s/%s/bin", base, names[i]->d_name) < (int)sizeof(dir))
            look_in(l, dir);
        free(names[i]);
    }
    free(names);
}

void interpreters_find(struct interpreters *out)
{
    static const char *const below_home[] = {
        ".pyenv/versions",       ".asdf/installs/python",
        ".asdf/installs/nodejs", ".local/share/mise/installs/python",
        ".nvm/versions/node",    ".local/share/mise/installs/node",
        ".rbenv/versions",       ".sdkman/candidates/java",
    };
    static const char *const of_dotnet[] = {"/usr/share/dotnet", "/usr/lib/dotnet",
                                            "/usr/lib64/dotnet", "/usr/local/share/dotnet"};
    const char *home = getenv("HOME"), *root = getenv("PYENV_ROOT"), *path = getenv("PATH");
    struct str rest, dir;
    char text[PATH_MAX];

    *out = (struct interpreters){0};
    rest = str_from(path ? path : "/usr/local/bin:/usr/bin:/bin");
    while (str_next(&rest, ':', &dir)) {
        if (dir.len == 0 || dir.ptr[0] != '/' || dir.len >= sizeof(text))
            continue;
        memcpy(text, dir.ptr, dir.len);
        text[dir.len] = '\0';
        look_in(out, text);
    }
    look_in(out, "/usr/local/bin");
    look_in(out, "/usr/bin");
    for (size_t i = 0; i < ARRAY_LEN(of_dotnet); i++)
        look_for_dotnet(out, of_dotnet[i]);
    if (root && snprintf(text, sizeof(text), "%s/versions", root) < (int)sizeof(text))
        look_in_versions(out, text);
    if (!home || home[0] != '/') {
        const struct passwd *pw = getpwuid(geteuid()); // main has one thread when it looks
        home = pw ? pw->pw_dir : NULL;
    }
    for (size_t i = 0; home && i < ARRAY_LEN(below_home); i++)
        if (snprintf(text, sizeof(text), "%s/%s", home, below_home[i]) < (int)sizeof(text))
            look_in_versions(out, text);
    look_in_versions(out, "/usr/lib/jvm");
    look_in_versions(out, "/opt");
}

// ---- the list as a file: one "kind major minor version path" a line -----------------------------

int interpreters_save(const struct interpreters *list, const char *path, struct err *err)
{
    struct buf out;
    int r;

    buf_init(&out, 64 * 1024);
    for (unsigned i = 0; i < list->n; i++) {
        const struct interpreter *p = &list->list[i];
        buf_addf(&out, "%s %u %u %s %s\n", kinds[p->kind].name, p->major, p->minor, p->version,
                 p->path);
    }
    if (out.failed)
        r = err_set(err, -ENOMEM, "out of memory");
    else
        r = write_file_atomic(path, buf_str(&out), 0644, err);
    buf_finish(&out);
    return r;
}

static bool take_line(struct interpreter *p, struct str line)
{
    struct str kind, major, minor, version;
    unsigned k = 0;
    uint64_t a, b;

    if (!str_next(&line, ' ', &kind) || !str_next(&line, ' ', &major) ||
        !str_next(&line, ' ', &minor) || !str_next(&line, ' ', &version) || line.len == 0)
        return false;
    if (str_to_u64(major, &a) < 0 || str_to_u64(minor, &b) < 0 || a > 9999 || b > 9999)
        return false;
    while (k < ARRAY_LEN(kinds) && !str_eq(kind, str_from(kinds[k].name)))
        k++;
    if (k == ARRAY_LEN(kinds))
        return false;
    *p = (struct interpreter){
        .kind = (enum interpreter_kind)k,
        .major = (unsigned)a,
        .minor = (unsigned)b,
    };
    if (version.len >= sizeof(p->version) || line.len >= sizeof(p->path))
        return false;
    memcpy(p->version, version.ptr, version.len);
    memcpy(p->path, line.ptr, line.len);
    return true;
}

int interpreters_load(struct interpreters *out, const char *path, struct err *err)
{
    struct arena arena;
    struct str text, line;
    struct interpreters l = {0};
    int r;

    arena_init(&arena, 1 << 20);
    r = read_file(&arena, path, 64 * 1024, &text, err);
    while (r == 0 && l.n < INTERPRETERS_MAX && str_next(&text, '\n', &line))
        if (take_line(&l.list[l.n], line))
            l.n++;
    arena_finish(&arena);
    if (r < 0)
        return r;
    *out = l;
    return 0;
}

// ---- choosing ----------------------------------------------------------------------------------

// "python3.12", "nodejs22.x", "java21", "java8.al2", "ruby3.4", "dotnet8".
static bool parse_managed(const char *name, struct interpreter_wish *w)
{
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        const char *at = name + strlen(kinds[k].name);

        if (strncmp(name, kinds[k].name, strlen(kinds[k].name)) != 0 ||
            !take_number(&at, &w->major))
            continue;
        w->kind = (enum interpreter_kind)k;
        if (kinds[k].by_minor)
            return *at++ == '.' && take_number(&at, &w->minor) && *at == '\0';
        return strcmp(at, k == INTERPRETER_NODE ? ".x" : "") == 0 ||
               (k == INTERPRETER_JAVA && strcmp(at, ".al2") == 0);
    }
    return false;
}

struct interpreter_wish interpreter_wish(struct str runtime)
{
    static const char *const others[] = {"java", "ruby", "dotnet", "go1.x"};
    struct interpreter_wish w = {0};
    char name[64];

    if (runtime.len == 0 || runtime.len >= sizeof(name))
        return w;
    memcpy(name, runtime.ptr, runtime.len);
    name[runtime.len] = '\0';
    if (strcmp(name, "provided") == 0 || strcmp(name, "provided.al2") == 0 ||
        strcmp(name, "provided.al2023") == 0) {
        w.known = w.custom = true;
        return w;
    }
    w.known = w.managed = parse_managed(name, &w);
    if (w.managed)
        return w;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        w.known = w.known || strncmp(name, others[i], strlen(others[i])) == 0;
    return w;
}

// Versions of one language in their order.
static unsigned rank(enum interpreter_kind kind, unsigned major, unsigned minor)
{
    return kinds[kind].by_minor ? major * 1000 + minor : major;
}

bool interpreter_is(const struct interpreter *p, const struct interpreter_wish *wish)
{
    return p->kind == wish->kind &&
           rank(p->kind, p->major, p->minor) == rank(wish->kind, wish->major, wish->minor);
}

const struct interpreter *interpreters_choose(const struct interpreters *list,
                                              const struct interpreter_wish *wish, bool *exact)
{
    const struct interpreter *best = NULL;
    unsigned best_far = UINT_MAX;

    *exact = false;
    if (!wish->managed)
        return NULL;
    for (unsigned i = 0; i < list->n; i++) {
        const struct interpreter *p = &list->list[i];
        unsigned is = rank(p->kind, p->major, p->minor);
        unsigned want = rank(wish->kind, wish->major, wish->minor);
        unsigned far = is > want ? is - want : want - is;

        // What was built for one .NET runs on that and on newer ones.
        if (p->kind != wish->kind || (p->kind == INTERPRETER_DOTNET && is < want))
            continue;
        if (far < best_far || (far == best_far && best && is > want)) {
            best = p;
            best_far = far;
        }
    }
    *exact = best && best_far == 0;
    return best;
}

int interpreters_find_cached(struct interpreters *out, const char *path, struct err *err)
{
    struct interpreters before = {0};
    struct err ignored = ERR_INIT;
    struct stat st;

    if (stat(path, &st) == 0 && interpreters_load(&before, path, &ignored) == 0) {
        earlier = &before;
        earlier_at = st.st_mtime;
    }
    interpreters_find(out);
    earlier = NULL;
    if (before.n == out->n && memcmp(before.list, out->list, sizeof(*out->list) * out->n) == 0)
        return 0;
    return interpreters_save(out, path, err);
}
