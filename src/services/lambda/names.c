// names.c - names, qualifiers and ARNs of functions and layers.
//
// The grammar is the pattern of FunctionName in the service's model: optional ARN prefix, region,
// account and "function:", a name, an optional qualifier. Names are checked for their characters
// here, so that nothing that passed can leave a path or an ARN it is put into.
#include "services/lambda/names.h"

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool word_valid(struct str s, size_t max)
{
    if (s.len == 0 || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!name_char(s.ptr[i]))
            return false;
    return true;
}

static bool all_digits(struct str s)
{
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

static bool account_valid(struct str s)
{
    return s.len == 12 && all_digits(s);
}

// "us-east-1": two letters, words, one digit.
static bool region_valid(struct str s)
{
    unsigned dashes = 0;

    if (s.len < 8 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '-')
            dashes++;
        else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    char last = s.ptr[s.len - 1];
    return dashes >= 2 && s.ptr[s.len - 2] == '-' && last >= '0' && last <= '9';
}

bool lambda_qualifier_valid(struct str q)
{
    return str_eq(q, STR("$LATEST")) || word_valid(q, LAMBDA_QUALIFIER_MAX);
}

uint64_t lambda_version_number(struct str q)
{
    uint64_t n;

    if (!all_digits(q) || q.ptr[0] == '0' || str_to_u64(q, &n) < 0)
        return 0;
    return n;
}

bool lambda_alias_valid(struct str name)
{
    return word_valid(name, LAMBDA_QUALIFIER_MAX) && !all_digits(name);
}

// Takes "arn:aws:lambda:" (any partition) off the front; false when it is another ARN.
static bool cut_arn(struct str *s, bool *was_arn)
{
    struct str part, rest = *s;

    *was_arn = str_starts(*s, STR("arn:"));
    if (!*was_arn)
        return true;
    if (!str_next(&rest, ':', &part) || !str_next(&rest, ':', &part) ||
        !str_starts(part, STR("aws")))
        return false;
    if (!str_next(&rest, ':', &part) || !str_eq(part, STR("lambda")) || str_is_null(rest))
        return false;
    *s = rest;
    return true;
}

bool lambda_name_parse(struct str s, struct lambda_name *out)
{
    struct lambda_name n = {0};
    struct str parts[6], rest, part;
    size_t count = 0, at = 0;
    bool arn;

    if (s.len > 256 || !cut_arn(&s, &arn))
        return false;
    rest = s;
    while (str_next(&rest, ':', &part)) {
        if (count == 5)
            return false;
        parts[count++] = part;
    }
    // A region and an account are only taken for one when a "function" follows, so that a function
    // may be called "123456789012".
    if (count - at >= 3 && region_valid(parts[at]) && account_valid(parts[at + 1]))
        n.region = parts[at++];
    if (count - at >= 3 && account_valid(parts[at]) && str_eq(parts[at + 1], STR("function")))
        n.account = parts[at++];
    bool prefixed = count - at >= 2 && str_eq(parts[at], STR("function"));
    if (arn && (!prefixed || str_is_null(n.region) || str_is_null(n.account)))
        return false;
    if (prefixed)
        at++;
    else if (!str_is_null(n.account))
        return false;
    if (count - at < 1 || count - at > 2)
        return false;
    n.name = parts[at];
    if (!word_valid(n.name, LAMBDA_NAME_MAX))
        return false;
    if (count - at == 2) {
        n.qualifier = parts[at + 1];
        if (!lambda_qualifier_valid(n.qualifier))
            return false;
    }
    *out = n;
    return true;
}

bool layer_name_parse(struct str s, struct layer_name *out)
{
    struct layer_name n = {0};
    struct str part, rest;
    bool arn;

    if (s.len > 256 || !cut_arn(&s, &arn))
        return false;
    if (!arn) {
        if (!word_valid(s, 140))
            return false;
        n.name = s;
        *out = n;
        return true;
    }
    rest = s;
    if (!str_next(&rest, ':', &n.region) || !region_valid(n.region) ||
        !str_next(&rest, ':', &n.account) || !account_valid(n.account) ||
        !str_next(&rest, ':', &part) || !str_eq(part, STR("layer")) ||
        !str_next(&rest, ':', &n.name) || !word_valid(n.name, 140))
        return false;
    if (!str_is_null(rest)) {
        n.version = lambda_version_number(rest);
        if (n.version == 0)
            return false;
    }
    *out = n;
    return true;
}
