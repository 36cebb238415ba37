// config.c - settings: defaults, then a file, then LAMBKIN_*, then flags.
//
// Invariants: a value that stands has been checked against its setting; it is replaced only by
// one from the same or a later source.
#include "os/config.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "os/file.h"
#include "os/log.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_FILE_BYTES ((size_t)1 << 20)
#define MAX_VALUE_BYTES ((size_t)64 * 1024)

struct value {
    char *text; // NULL: unset
    int64_t number;
    enum config_source source;
};

struct config {
    const struct config_setting *settings;
    unsigned n;
    struct arena arena;
    struct value values[];
};

static int find(const struct config *c, struct str name)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (str_eq(str_from(c->settings[i].name), name))
            return (int)i;
    }
    return -1;
}

static int parse_bool(struct str s, int64_t *out)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (unsigned i = 0; i < 4; i++) {
        if (str_eq_nocase(s, str_from(yes[i]))) {
            *out = 1;
            return 0;
        }
        if (str_eq_nocase(s, str_from(no[i]))) {
            *out = 0;
            return 0;
        }
    }
    return -EINVAL;
}

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit byte_units[] = {{"k", 1024},   {"m", 1 << 20},   {"g", 1 << 30},
                                         {"kib", 1024}, {"mib", 1 << 20}, {"gib", 1 << 30}};
static const struct unit duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

static int parse_number(struct str s, const struct unit *units, unsigned n, int64_t *out)
{
    size_t digits = 0;
    int64_t factor = 1;
    int r;

    while (digits < s.len &&
           ((s.ptr[digits] >= '0' && s.ptr[digits] <= '9') || (digits == 0 && s.ptr[0] == '-')))
        digits++;
    struct str unit = str_trim(str_slice(s, digits, s.len));
    if (unit.len > 0) {
        unsigned i = 0;
        while (i < n && !str_eq_nocase(unit, str_from(units[i].name)))
            i++;
        if (i == n)
            return -EINVAL;
        factor = units[i].factor;
    }
    r = str_to_i64(str_slice(s, 0, digits), out);
    if (r < 0)
        return r;
    return __builtin_mul_overflow(*out, factor, out) ? -ERANGE : 0;
}

static bool is_choice(const char *choices, struct str s)
{
    struct str rest = str_from(choices), one;

    while (str_next(&rest, '|', &one)) {
        if (str_eq(one, s))
            return true;
    }
    return false;
}

static int check(const struct config_setting *s, struct str text, int64_t *number, struct err *err)
{
    int r = 0;

    switch (s->kind) {
    case CONFIG_STRING:
        return 0;
    case CONFIG_BOOL:
        if (parse_bool(text, number) < 0)
            return err_set(err, -EINVAL, "%s: \"%.*s\" is neither true nor false", s->name,
                           STR_ARG(text));
        return 0;
    case CONFIG_ENUM:
        if (!is_choice(s->choices, text))
            return err_set(err, -EINVAL, "%s: \"%.*s\" is none of %s", s->name, STR_ARG(text),
                           s->choices);
        return 0;
    case CONFIG_INT:
        r = parse_number(text, NULL, 0, number);
        break;
    case CONFIG_BYTES:
        r = parse_number(text, byte_units, ARRAY_LEN(byte_units), number);
        break;
    case CONFIG_DURATION:
        r = parse_number(text, duration_units, ARRAY_LEN(duration_units), number);
        break;
    }
    if (r < 0)
        return err_set(err, -EINVAL, "%s: \"%.*s\" is not a number%s", s->name, STR_ARG(text),
                       s->kind == CONFIG_BYTES      ? " of bytes (k, m, g)"
                       : s->kind == CONFIG_DURATION ? " of milliseconds (ms, s, m, h)"
                                                    : "");
    if ((s->min != 0 || s->max != 0) && (*number < s->min || *number > s->max))
        return err_set(err, -ERANGE, "%s: %lld is not within %lld and %lld", s->name,
                       (long long)*number, (long long)s->min, (long long)s->max);
    return 0;
}

static int set_at(struct config *c, unsigned i, struct str text, enum config_source source,
                  struct err *err)
{
    struct value *v = &c->values[i];
    int64_t number = 0;
    int r;

    if (text.len > MAX_VALUE_BYTES)
        return err_set(err, -EINVAL, "%s: too long", c->settings[i].name);
    if (text.len > 0 && memchr(text.ptr, 0, text.len))
        return err_set(err, -EINVAL, "%s: holds a null byte", c->settings[i].name);
    r = check(&c->settings[i], text, &number, err);
    if (r < 0)
        return r;
    if (v->text && source < v->source)
        return 0;
    char *copy = arena_cstr(&c->arena, text.ptr ? text : STR(""));
    if (!copy)
        return err_set(err, -ENOMEM, "out of memory");
    *v = (struct value){.text = copy, .number = number, .source = source};
    return 0;
}

int config_create(const struct config_setting *settings, unsigned n, struct config **out,
                  struct err *err)
{
    struct config *c = calloc(1, sizeof *c + n * sizeof c->values[0]);
    int r;

    if (!c)
        return err_set(err, -ENOMEM, "out of memory");
    c->settings = settings;
    c->n = n;
    arena_init(&c->arena, ARENA_DEFAULT_MAX_BYTES);
    for (unsigned i = 0; i < n; i++) {
        if (!settings[i].fallback)
            continue;
        r = set_at(c, i, str_from(settings[i].fallback), CONFIG_DEFAULT, err);
        if (r < 0) {
            config_destroy(c);
            return r;
        }
    }
    *out = c;
    return 0;
}

void config_destroy(struct config *c)
{
    if (!c)
        return;
    arena_finish(&c->arena);
    free(c);
}

void config_destroyp(struct config **c)
{
    config_destroy(*c);
}

int config_set(struct config *c, const char *name, struct str value, enum config_source source,
               struct err *err)
{
    int i = find(c, str_from(name));

    if (i < 0)
        return err_set(err, -ENOENT, "there is no setting \"%s\"", name);
    return set_at(c, (unsigned)i, value, source, err);
}

// ---- file ----

// The value of a line: without comment, without quotes.
static struct str value_of(struct str s)
{
    s = str_trim(s);
    if (s.len >= 2 && s.ptr[0] == '"') {
        ptrdiff_t end = str_find_char(str_slice(s, 1, s.len), '"');
        if (end >= 0)
            return str_slice(s, 1, (size_t)end + 1);
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '#' && (i == 0 || s.ptr[i - 1] == ' ' || s.ptr[i - 1] == '\t'))
            return str_trim(str_slice(s, 0, i));
    }
    return s;
}

int config_load_text(struct config *c, const char *name, struct str text, struct err *err)
{
    struct str line;
    unsigned number = 0;
    int r;

    while (str_next(&text, '\n', &line)) {
        number++;
        line = str_trim(line);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        ptrdiff_t equals = str_find_char(line, '=');
        if (equals < 0)
            return err_set(err, -EINVAL, "%s:%u: expected \"name = value\"", name, number);
        struct str key = str_trim(str_slice(line, 0, (size_t)equals));
        char spelled[128];
        if (key.len >= sizeof spelled)
            return err_set(err, -EINVAL, "%s:%u: the name is too long", name, number);
        for (size_t i = 0; i < key.len; i++)
            spelled[i] = key.ptr[i] == '_' ? '-' : key.ptr[i];
        int at = find(c, (struct str){spelled, key.len});
        if (at < 0)
            return err_set(err, -ENOENT, "%s:%u: there is no setting \"%.*s\"", name, number,
                           STR_ARG(key));
        r = set_at(c, (unsigned)at, value_of(str_slice(line, (size_t)equals + 1, line.len)),
                   CONFIG_FILE, err);
        if (r < 0)
            return err_wrap(err, "%s:%u", name, number);
    }
    return 0;
}

int config_load_file(struct config *c, const char *path, struct err *err)
{
    struct arena a;
    struct str text;
    int r;

    arena_init(&a, MAX_FILE_BYTES * 2);
    r = read_file(&a, path, MAX_FILE_BYTES, &text, err);
    if (r == 0)
        r = config_load_text(c, path, text, err);
    arena_finish(&a);
    return r;
}

// ---- environment ----

int config_load_env(struct config *c, char *const *environment, struct err *err)
{
    int r;

    for (; environment && *environment; environment++) {
        struct str rest = str_from(*environment), name;
        if (!str_starts(rest, STR("LAMBKIN_")))
            continue;
        rest = str_slice(rest, 8, rest.len);
        str_next(&rest, '=', &name);
        char spelled[128];
        if (name.len == 0 || name.len >= sizeof spelled || str_is_null(rest))
            continue;
        for (size_t i = 0; i < name.len; i++) {
            char ch = name.ptr[i];
            spelled[i] = ch == '_' ? '-' : ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch;
        }
        int at = find(c, (struct str){spelled, name.len});
        if (at < 0)
            continue;
        r = set_at(c, (unsigned)at, rest, CONFIG_ENV, err);
        if (r < 0)
            return err_wrap(err, "LAMBKIN_%.*s", STR_ARG(name));
    }
    return 0;
}

// ---- flags ----

// Takes one flag (without "--") and maybe the next argument; answers how many were taken.
static int take_flag(struct config *c, struct str flag, const char *next, struct err *err)
{
    struct str value = flag, name;
    int taken = 1;
    int at, r;

    str_next(&value, '=', &name);
    at = find(c, name);
    if (at < 0 && str_starts(name, STR("no-")) && str_is_null(value)) {
        at = find(c, str_slice(name, 3, name.len));
        if (at >= 0 && c->settings[at].kind != CONFIG_BOOL)
            at = -1;
        value = STR("false");
    }
    if (at < 0)
        return err_set(err, -ENOENT, "there is no option --%.*s", STR_ARG(name));
    if (str_is_null(value)) {
        if (c->settings[at].kind == CONFIG_BOOL) {
            value = STR("true");
        } else if (next) {
            value = str_from(next);
            taken = 2;
        } else {
            return err_set(err, -EINVAL, "--%.*s needs a value", STR_ARG(name));
        }
    }
    r = set_at(c, (unsigned)at, value, CONFIG_FLAG, err);
    return r < 0 ? r : taken;
}

int config_load_args(struct config *c, int argc, char **argv, int *rest, struct err *err)
{
    int kept = 0;
    bool flags = true;

    for (int i = 0; i < argc;) {
        struct str arg = str_from(argv[i]);
        if (flags && str_eq(arg, STR("--"))) {
            flags = false;
            i++;
            continue;
        }
        if (!flags || !str_starts(arg, STR("--"))) {
            argv[kept++] = argv[i++];
            continue;
        }
        int taken =
            take_flag(c, str_slice(arg, 2, arg.len), i + 1 < argc ? argv[i + 1] : NULL, err);
        if (taken < 0)
            return taken;
        i += taken;
    }
    *rest = kept;
    return 0;
}

// ---- reading ----

static const struct value *value_at(const struct config *c, const char *name)
{
    int i = find(c, str_from(name));

    if (i < 0) {
        log_error("the program asks for a setting \"%s\" that it does not have", name);
        abort();
    }
    return &c->values[i];
}

struct str config_str(const struct config *c, const char *name)
{
    return str_from(value_at(c, name)->text);
}

const char *config_cstr(const struct config *c, const char *name)
{
    return value_at(c, name)->text;
}

int64_t config_i64(const struct config *c, const char *name)
{
    return value_at(c, name)->number;
}

bool config_bool(const struct config *c, const char *name)
{
    return value_at(c, name)->number != 0;
}

enum config_source config_source_of(const struct config *c, const char *name)
{
    return value_at(c, name)->source;
}
