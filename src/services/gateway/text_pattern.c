// text_pattern.c - see text_pattern.h.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "services/gateway/text_pattern.h"

#include <pcre2.h>

#define MATCH_LIMIT 100000
#define HEAP_LIMIT_KIB 1024

bool text_pattern_matches(struct str pattern, struct str text, bool inside)
{
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
    int error, found = -1;
    PCRE2_SIZE where;

    if (!inside)
        options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &error, &where, NULL);
    pcre2_match_context *limits = code ? pcre2_match_context_create(NULL) : NULL;
    pcre2_match_data *data = limits ? pcre2_match_data_create(1, NULL) : NULL;
    if (data) {
        pcre2_set_match_limit(limits, MATCH_LIMIT);
        pcre2_set_heap_limit(limits, HEAP_LIMIT_KIB);
        found =
            pcre2_match(code, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0, 0, data, limits);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    pcre2_code_free(code);
    return found >= 0;
}
