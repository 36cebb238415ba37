// pattern.c - the patterns of the models: compiled on first use, kept, matched within limits.
//
// The models' patterns are Java's and hold for the whole value. PCRE2 reads nearly all of them as
// they are; code points written \uXXXX are rewritten. A pattern that does not compile accepts
// everything (a unit test sees to it that there is none). Slots are filled without a lock: of two
// threads that compile the same one, the later throws its own away.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "wire/wire_impl.h"

#include "base/cleanup.h"

#include <pcre2.h>
#include <stdlib.h>

#define MATCH_LIMIT 200000
#define HEAP_LIMIT_KIB 4096

static char never_compiles[1];

static bool hex4(const char *s, unsigned *out)
{
    unsigned n = 0;

    for (int i = 0; i < 4; i++) {
        char c = s[i];

        if (c >= '0' && c <= '9')
            n = n * 16 + (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            n = n * 16 + (unsigned)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *out = n;
    return true;
}

// "\uD83D\uDE00" is one code point, "\u0020" another; in "[\w-_]" the hyphen is itself.
static void translate(const char *s, struct buf *out)
{
    bool in_class = false;

    while (*s) {
        unsigned code, low;

        if (s[0] == '\\' && s[1] == 'u' && hex4(s + 2, &code)) {
            s += 6;
            if (code >= 0xd800 && code < 0xdc00 && s[0] == '\\' && s[1] == 'u' &&
                hex4(s + 2, &low) && low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                s += 6;
            }
            buf_addf(out, "\\x{%x}", code);
            continue;
        }
        if (s[0] == '\\' && s[1]) {
            buf_add(out, (struct str){s, 2});
            if (in_class && strchr("wdsWDS", s[1]) && s[2] == '-' && s[3] != ']') {
                buf_add(out, STR("\\-"));
                s++;
            }
            s += 2;
            continue;
        }
        if (*s == '[')
            in_class = true;
        else if (*s == ']')
            in_class = false;
        buf_add_char(out, *s++);
    }
}

static void *compile(const char *pattern)
{
    _cleanup_(buf_finishp) struct buf text = {0};
    pcre2_code *code;
    PCRE2_SIZE where;
    int error;

    buf_init(&text, 1 << 16);
    translate(pattern, &text);
    if (text.failed)
        return NULL;
    code = pcre2_compile((PCRE2_SPTR)buf_str(&text).ptr, text.len,
                         PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &error, &where,
                         NULL);
    return code ? (void *)code : (void *)never_compiles;
}

static void *compiled(const struct wire_service *s, unsigned pattern)
{
    void *now = __atomic_load_n(&s->compiled[pattern], __ATOMIC_ACQUIRE), *made;

    if (now)
        return now;
    made = compile(s->strings + s->patterns[pattern]);
    if (!made)
        return NULL;
    if (__atomic_compare_exchange_n(&s->compiled[pattern], &now, made, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return made;
    if (made != never_compiles)
        pcre2_code_free(made);
    return now;
}

bool wire_pattern_compiles(const struct wire_service *s, unsigned pattern)
{
    return compiled(s, pattern) != never_compiles;
}

int pattern_matches(const struct wire_service *s, unsigned pattern, struct str text)
{
    void *code = compiled(s, pattern);
    pcre2_match_context *limits;
    pcre2_match_data *match;
    int r = 0;

    if (code == never_compiles)
        return 1;
    limits = pcre2_match_context_create(NULL);
    match = pcre2_match_data_create(1, NULL);
    if (code && limits && match) {
        pcre2_set_match_limit(limits, MATCH_LIMIT);
        pcre2_set_heap_limit(limits, HEAP_LIMIT_KIB);
        r = pcre2_match(code, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0,
                        PCRE2_ANCHORED | PCRE2_ENDANCHORED, match, limits) >= 0;
    }
    pcre2_match_data_free(match);
    pcre2_match_context_free(limits);
    return r;
}
