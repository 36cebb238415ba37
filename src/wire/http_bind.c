// http_bind.c - what the REST protocols put into the URI, the query string and the headers.
#include "wire/wire_impl.h"

#include "base/percent.h"

// --- URI templates: "/2015-03-31/functions/{FunctionName}?literal=value" ---

static void cut_query(struct str *uri, struct str *query)
{
    ptrdiff_t mark = str_find_char(*uri, '?');

    *query = STR_NULL;
    if (mark < 0)
        return;
    *query = str_slice(*uri, (size_t)mark + 1, uri->len);
    *uri = str_slice(*uri, 0, (size_t)mark);
}

static bool is_label(struct str segment, bool *greedy)
{
    if (segment.len < 3 || segment.ptr[0] != '{' || segment.ptr[segment.len - 1] != '}')
        return false;
    *greedy = segment.ptr[segment.len - 2] == '+';
    return true;
}

// A segment of the template or of a path; a trailing slash is no segment of its own.
static bool next_segment(struct str *rest, struct str *segment)
{
    if (rest->len && rest->ptr[0] == '/')
        *rest = str_slice(*rest, 1, rest->len);
    if (rest->len == 0)
        return false;
    ptrdiff_t slash = str_find_char(*rest, '/');

    *segment = slash < 0 ? *rest : str_slice(*rest, 0, (size_t)slash);
    *rest = slash < 0 ? STR("") : str_slice(*rest, (size_t)slash, rest->len);
    return true;
}

// What a greedy label takes of `rest` (which begins with '/') when `after` follows in the template.
static bool greedy_part(struct str rest, struct str after, struct str *part)
{
    *part = str_slice(rest, 1, rest.len);
    if (after.len == 0)
        return part->len > 0;
    if (!str_ends(*part, after))
        return false;
    *part = str_slice(*part, 0, part->len - after.len);
    return part->len > 0;
}

static bool query_literals_match(struct str literals, struct str query, int *score)
{
    struct str name, want;

    while (percent_next_pair(&literals, &name, &want)) {
        struct str rest = query, n, v;
        bool found = false;

        while (!found && percent_next_pair(&rest, &n, &v))
            found = str_eq(n, name) && (str_is_null(want) || want.len == 0 || str_eq(v, want));
        if (!found)
            return false;
        (*score)++;
    }
    return true;
}

// The template's text before its first label, but for the last slash: what a path must begin with.
static bool begins_alike(const char *uri, struct str path)
{
    size_t n = strcspn(uri, "{?");

    while (n && uri[n - 1] == '/')
        n--;
    return path.len >= n && memcmp(path.ptr, uri, n) == 0;
}

int uri_match(const char *uri, struct str path, struct str query)
{
    struct str template = str_from(uri), literals, want, got;
    int score = 0;

    if (path.len == 0 || !begins_alike(uri, path))
        return -1;
    cut_query(&template, &literals);
    while (next_segment(&template, &want)) {
        bool greedy = false;

        if (is_label(want, &greedy)) {
            if (greedy)
                return greedy_part(path, template, &got) &&
                               query_literals_match(literals, query, &score)
                           ? score + 8
                           : -1;
            // An empty segment fits no label: it is another operation's path.
            if (!next_segment(&path, &got) || got.len == 0)
                return -1;
            score += 16;
            continue;
        }
        if (!next_segment(&path, &got) || !str_eq(want, got))
            return -1;
        score += 64;
    }
    if (next_segment(&path, &got) || !query_literals_match(literals, query, &score))
        return -1;
    return score;
}

// --- decoding ---

static int decode_label(struct walk *w, const struct wire_operation *op, struct str label,
                        struct str text, void *out)
{
    const struct wire_shape *sh = &w->s->shapes[op->in];
    const struct wire_member *m = wire_members_of(w->s, sh);
    int r;

    for (size_t i = 0; i < sh->n_members; i++, m++) {
        void *place;

        if (m->location != WIRE_IN_URI || !str_eq(wire_text(w->s, m->wire_name), label))
            continue;
        r = percent_decode(w->arena, text, PERCENT_PATH, &text);
        if (r < 0)
            return r == -ENOMEM ? walk_oom(w) : walk_malformed(w, "The path is malformed.");
        place = walk_open(w, m, out);
        return place ? scalar_from_text(w, m, SCALAR_LABEL, text, place) : -ENOMEM;
    }
    return 0;
}

static int decode_labels(struct walk *w, const struct wire_operation *op, struct str path,
                         void *out)
{
    struct str template = str_from(op->uri), literals, want, got;

    cut_query(&template, &literals);
    while (next_segment(&template, &want)) {
        bool greedy = false, label = is_label(want, &greedy);
        int r = 0;

        if (label && greedy) {
            if (greedy_part(path, template, &got))
                r = decode_label(w, op, str_slice(want, 1, want.len - 2), got, out);
            return r;
        }
        if (!next_segment(&path, &got))
            return walk_malformed(w, "The path is malformed.");
        if (label)
            r = decode_label(w, op, str_slice(want, 1, want.len - 1), got, out);
        if (r < 0)
            return r;
    }
    return 0;
}

// Reads all values of one query parameter into a list.
static int decode_query_list(struct walk *w, const struct wire_shape *sh, struct str query,
                             struct str wanted, void *run)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    struct str rest = query, name, text, key;
    size_t n = 0, i = 0;
    int r;

    while (percent_next_pair(&rest, &name, &text)) {
        r = percent_decode(w->arena, name, PERCENT_FORM, &key);
        n += r == 0 && str_eq(key, wanted);
    }
    r = walk_array(w, sh, n, run);
    if (r < 0)
        return r;
    for (rest = query; i < n && percent_next_pair(&rest, &name, &text);) {
        void *place;

        r = percent_decode(w->arena, name, PERCENT_FORM, &key);
        if (r < 0 || !str_eq(key, wanted))
            continue;
        place = walk_element(w, sh, run, i++);
        if (!place)
            return -ENOMEM;
        if (percent_decode(w->arena, str_is_null(text) ? STR("") : text, PERCENT_FORM, &text) < 0)
            return walk_malformed(w, "The query string is malformed.");
        r = scalar_from_text(w, m, SCALAR_LABEL, text, place);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool is_bound(const struct walk *w, const struct wire_shape *sh, struct str name)
{
    const struct wire_member *m = wire_members_of(w->s, sh);

    for (size_t i = 0; i < sh->n_members; i++, m++) {
        if (m->location == WIRE_IN_QUERY && wire_shape_of(w->s, m)->type != WIRE_MAP &&
            str_eq(wire_text(w->s, m->wire_name), name))
            return true;
    }
    return false;
}

// A map member takes every parameter that no other member does; values may be lists.
static int decode_query_map(struct walk *w, const struct wire_shape *top,
                            const struct wire_shape *sh, struct str query, void *run)
{
    const struct wire_member *m = wire_members_of(w->s, sh) + 1;
    const struct wire_shape *inner = wire_shape_of(w->s, m);
    struct str rest = query, name, text, key;
    struct wire_run *out = run;
    size_t most = 1;
    int r;

    for (size_t i = 0; i < query.len; i++)
        most += query.ptr[i] == '&';
    r = walk_array(w, sh, most, run);
    if (r < 0)
        return r;
    out->n = 0;
    while (out->n < most && percent_next_pair(&rest, &name, &text)) {
        bool seen = false;
        void *place;

        if (percent_decode(w->arena, name, PERCENT_FORM, &key) < 0 || is_bound(w, top, key))
            continue;
        for (size_t i = 0; i < out->n && !seen; i++)
            seen = str_eq(*walk_key(sh, run, i), key);
        if (seen)
            continue;
        *walk_key(sh, run, out->n) = key;
        place = walk_element(w, sh, run, out->n++);
        if (!place)
            return -ENOMEM;
        if (inner->type == WIRE_LIST)
            r = decode_query_list(w, inner, query, key, place);
        else if (percent_decode(w->arena, str_is_null(text) ? STR("") : text, PERCENT_FORM,
                                &text) == 0)
            r = scalar_from_text(w, m, SCALAR_LABEL, text, place);
        else
            r = walk_malformed(w, "The query string is malformed.");
        if (r < 0)
            return r;
    }
    return 0;
}

static int decode_query(struct walk *w, const struct wire_shape *top, const struct wire_member *m,
                        struct str query, void *out)
{
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    struct str text, name = wire_text(w->s, m->wire_name);
    void *place;
    int r;

    if (sh->type == WIRE_MAP) {
        if (query.len == 0)
            return 0;
        place = walk_open(w, m, out);
        return place ? decode_query_map(w, top, sh, query, place) : -ENOMEM;
    }
    r = percent_query_get(w->arena, query, name, &text);
    if (r < 0)
        return r == -ENOMEM ? walk_oom(w) : walk_malformed(w, "The query string is malformed.");
    if (r == 0)
        return 0;
    if (str_is_null(text))
        text = STR("");
    place = walk_open(w, m, out);
    if (!place)
        return -ENOMEM;
    if (sh->type == WIRE_LIST)
        return decode_query_list(w, sh, query, name, place);
    return scalar_from_text(w, m, SCALAR_LABEL, text, place);
}

// One element of a header's list: quoted, or up to the next comma (dates hold one comma each).
static struct str next_header_element(struct walk *w, struct str *rest, bool dates)
{
    struct str s = str_trim(*rest), out;
    size_t end = 0, commas = 0;
    char *copy;

    if (s.len && s.ptr[0] == '"') {
        size_t n = 0;

        copy = arena_alloc(w->arena, s.len);
        for (end = 1; copy && end < s.len && s.ptr[end] != '"'; end++) {
            if (s.ptr[end] == '\\' && end + 1 < s.len)
                end++;
            copy[n++] = s.ptr[end];
        }
        out = (struct str){copy, n};
        while (end < s.len && s.ptr[end] != ',')
            end++;
    } else {
        while (end < s.len && (s.ptr[end] != ',' || (dates && commas++ % 2 == 0)))
            end++;
        out = str_trim(str_slice(s, 0, end));
    }
    *rest = end < s.len ? str_slice(s, end + 1, s.len) : STR_NULL;
    return out;
}

static int decode_header_list(struct walk *w, const struct wire_shape *sh, struct str text,
                              void *run)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    bool dates = wire_shape_of(w->s, m)->type == WIRE_TIMESTAMP &&
                 scalar_time(w->s, m, w->protocol, SCALAR_HEADER) == WIRE_TIME_RFC822;
    struct str rest = text;
    size_t most = 1, n = 0;
    int r;

    for (size_t i = 0; i < text.len; i++)
        most += text.ptr[i] == ',';
    r = walk_array(w, sh, str_trim(text).len ? most : 0, run);
    if (r < 0 || str_trim(text).len == 0)
        return r;
    while (!str_is_null(rest)) {
        struct str one = next_header_element(w, &rest, dates);
        void *place = walk_element(w, sh, run, n++);

        if (!place || !one.ptr)
            return walk_oom(w);
        r = scalar_from_text(w, m, SCALAR_HEADER, one, place);
        if (r < 0)
            return r;
    }
    ((struct wire_run *)run)->n = n;
    return 0;
}

// The name in lower case; header names are short.
static struct str lower(struct str name, char space[static 128])
{
    size_t n = name.len < 128 ? name.len : 128;

    for (size_t i = 0; i < n; i++)
        space[i] =
            (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32 : name.ptr[i]);
    return (struct str){space, n};
}

static int decode_header(struct walk *w, const struct wire_member *m, const struct wire_http_in *in,
                         void *out)
{
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    char space[128];
    struct str name = lower(wire_text(w->s, m->wire_name), space);
    struct str text = wire_header_get(in, name);
    void *place;

    // An empty header says nothing but for lists and strings.
    if (str_is_null(text) || (text.len == 0 && sh->type != WIRE_STRING && sh->type != WIRE_LIST))
        return 0;
    place = walk_open(w, m, out);
    if (!place)
        return -ENOMEM;
    if (sh->type == WIRE_LIST)
        return decode_header_list(w, sh, text, place);
    return scalar_from_text(w, m, SCALAR_HEADER, text, place);
}

// All headers with a prefix: a map. The names are what follows it.
static int decode_headers(struct walk *w, const struct wire_member *m,
                          const struct wire_http_in *in, void *out)
{
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    const struct wire_member *val = wire_members_of(w->s, sh) + 1;
    char space[128];
    struct str prefix = lower(wire_text(w->s, m->wire_name), space);
    struct wire_run *run;
    size_t n = 0;
    int r;

    for (size_t i = 0; i < in->n_headers; i++)
        n += str_starts(in->headers[i].name, prefix);
    if (n == 0)
        return 0;
    run = walk_open(w, m, out);
    r = walk_array(w, sh, n, run);
    if (r < 0)
        return r;
    n = 0;
    for (size_t i = 0; i < in->n_headers; i++) {
        struct str name = in->headers[i].name;

        if (!str_starts(name, prefix))
            continue;
        *walk_key(sh, run, n) = str_slice(name, prefix.len, name.len);
        r = scalar_from_text(w, val, SCALAR_HEADER, in->headers[i].value,
                             walk_element(w, sh, run, n));
        if (r < 0)
            return r;
        n++;
    }
    return 0;
}

int bind_decode(struct walk *w, const struct wire_operation *op, const struct wire_http_in *in,
                void *out)
{
    const struct wire_shape *sh = &w->s->shapes[op->in];
    const struct wire_member *m = wire_members_of(w->s, sh);
    int r = decode_labels(w, op, in->path, out);

    for (size_t i = 0; i < sh->n_members && r >= 0; i++, m++) {
        switch ((enum wire_location)m->location) {
        case WIRE_IN_QUERY:
            r = decode_query(w, sh, m, in->query, out);
            break;
        case WIRE_IN_HEADER:
            r = decode_header(w, m, in, out);
            break;
        case WIRE_IN_HEADERS:
            r = decode_headers(w, m, in, out);
            break;
        case WIRE_IN_BODY:
        case WIRE_IN_URI:
        case WIRE_IN_STATUS:
            break;
        }
    }
    return r;
}

// --- encoding ---

int bind_header(struct wire_http_out *out, struct str name, struct buf *text)
{
    struct str value = buf_str(text);
    char *copy = arena_alloc(out->arena, value.len + 1);
    size_t n = 0;

    if (text->failed || !copy)
        return -ENOMEM;
    // No value of ours may break out of its header.
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] != '\r' && value.ptr[i] != '\n' && value.ptr[i] != '\0')
            copy[n++] = value.ptr[i];
    }
    return wire_http_out_header(out, name, (struct str){copy, n}) ? 0 : -ENOMEM;
}

static void header_list(const struct walk *w, const struct wire_shape *sh, const void *run,
                        struct buf *text)
{
    const struct wire_member *m = wire_members_of(w->s, sh);

    for (size_t i = 0; i < ((const struct wire_run *)run)->n; i++) {
        const void *element = wire_element(w->s, sh, run, i);
        const struct str *s = element;

        if (!element)
            continue;
        if (text->len)
            buf_add(text, STR(", "));
        if (wire_shape_of(w->s, m)->type == WIRE_STRING &&
            (str_find_char(*s, ',') >= 0 || str_find_char(*s, '"') >= 0)) {
            buf_add_char(text, '"');
            for (size_t k = 0; k < s->len; k++) {
                if (s->ptr[k] == '"' || s->ptr[k] == '\\')
                    buf_add_char(text, '\\');
                buf_add_char(text, s->ptr[k]);
            }
            buf_add_char(text, '"');
        } else {
            scalar_to_text(w, m, SCALAR_HEADER, element, text);
        }
    }
}

static int encode_headers(struct walk *w, const struct wire_member *m, const void *run,
                          struct wire_http_out *out, struct buf *text)
{
    const struct wire_shape *sh = wire_shape_of(w->s, m);
    const struct wire_member *val = wire_members_of(w->s, sh) + 1;

    for (size_t i = 0; i < ((const struct wire_run *)run)->n; i++) {
        struct str name = arena_printf(out->arena, "%s%.*s", w->s->strings + m->wire_name,
                                       STR_ARG(*wire_key(sh, run, i)));

        buf_reset(text);
        scalar_to_text(w, val, SCALAR_HEADER, wire_element(w->s, sh, run, i), text);
        if (!name.ptr || bind_header(out, name, text) < 0)
            return -ENOMEM;
    }
    return 0;
}

int bind_encode(struct walk *w, const struct wire_shape *sh, const void *value,
                struct wire_http_out *out)
{
    const struct wire_member *m = wire_members_of(w->s, sh);
    struct buf text;
    int r = 0;

    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < sh->n_members && r == 0; i++, m++) {
        const void *at;

        if (m->location == WIRE_IN_BODY || !wire_present(m, value))
            continue;
        at = wire_value(w->s, m, value);
        buf_reset(&text);
        if (m->location == WIRE_IN_STATUS) {
            out->status = (int)*(const int64_t *)at;
        } else if (m->location == WIRE_IN_HEADERS) {
            r = encode_headers(w, m, at, out, &text);
        } else if (m->location == WIRE_IN_HEADER) {
            if (wire_shape_of(w->s, m)->type == WIRE_LIST)
                header_list(w, wire_shape_of(w->s, m), at, &text);
            else
                scalar_to_text(w, m, SCALAR_HEADER, at, &text);
            r = bind_header(out, wire_text(w->s, m->wire_name), &text);
        }
    }
    buf_finish(&text);
    return r;
}
