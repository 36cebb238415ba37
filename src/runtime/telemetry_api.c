// telemetry_api.c - what a subscription asks for: read, checked, refused in AWS's words.
//
// Telemetry API 2022-07-01 and Logs API 2020-08-15. Only http://sandbox.localdomain:PORT and TCP
// ports of the sandbox itself can be named; the port of the Runtime API cannot.

#include "runtime/telemetry_impl.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

struct reading {
    struct arena *arena;
    struct telemetry_config *config;
    bool logs_api;
    const char *type;
    struct str message;
};

static int refused(struct reading *r, int status, const char *type, struct str message)
{
    r->type = type;
    r->message = message;
    return status;
}

static int malformed(struct reading *r, struct str message)
{
    return refused(r, 400, "DeserializationError", message);
}

static int invalid(struct reading *r, struct str message)
{
    return refused(r, 400, "ValidationError", message);
}

static int missing(struct reading *r, const char *field)
{
    return malformed(r, arena_printf(r->arena, "missing field `%s`", field));
}

static int unknown_variant(struct reading *r, struct str value, const char *expected)
{
    return malformed(r, arena_printf(r->arena, "unknown variant `%.*s`, expected %s",
                                     (int)(value.len > 64 ? 64 : value.len), value.ptr, expected));
}

static int read_schema(struct reading *r, const struct json_value *v)
{
    static const struct {
        struct str name;
        enum telemetry_schema schema;
    } all[] = {{STR_INIT("2020-08-15"), SCHEMA_2020_08_15},
               {STR_INIT("2021-03-18"), SCHEMA_2021_03_18},
               {STR_INIT("2022-07-01"), SCHEMA_2022_07_01},
               {STR_INIT("2022-12-13"), SCHEMA_LATER},
               {STR_INIT("2025-01-29"), SCHEMA_LATER}};
    struct str name = r->logs_api ? STR("2020-08-15") : STR("");

    if (v && !json_str(v, &name))
        return malformed(r, STR("invalid type for `schemaVersion`, expected a string"));
    size_t i = 0;
    while (i < ARRAY_LEN(all) && !str_eq(all[i].name, name))
        i++;
    if (v && i == ARRAY_LEN(all))
        return unknown_variant(r, name,
                               "one of `2020-08-15`, `2021-03-18`, `2022-07-01`, `2022-12-13`, "
                               "`2025-01-29`");
    if (i == ARRAY_LEN(all) || (all[i].schema <= SCHEMA_2021_03_18) != r->logs_api)
        return invalid(
            r,
            r->logs_api
                ? STR("LogsAPI only supports the following SchemaVersion: 2020-08-15, 2021-03-18")
                : STR("TelemetryAPI only supports the SchemaVersion released after 2021-03-18"));
    r->config->schema = all[i].schema;
    return 0;
}

static int read_types(struct reading *r, const struct json_value *v)
{
    struct str name;
    unsigned bit;

    if (!v)
        return missing(r, "types");
    if (!json_is(v, JSON_ARRAY))
        return malformed(r, STR("invalid type for `types`, expected a sequence"));
    json_each(item, v)
    {
        if (!json_str(item, &name))
            return malformed(r, STR("invalid type in `types`, expected a string"));
        if (str_eq(name, STR("platform")))
            bit = r->logs_api ? TELEMETRY_LOGS_API : TELEMETRY_PLATFORM;
        else if (str_eq(name, STR("function")))
            bit = TELEMETRY_FUNCTION;
        else if (str_eq(name, STR("extension")))
            bit = TELEMETRY_EXTENSION;
        else
            return unknown_variant(r, name, "one of `platform`, `function`, `extension`");
        if (r->config->audience & bit)
            return invalid(r, STR("types should be unique"));
        r->config->audience |= bit;
    }
    return r->config->audience ? 0 : invalid(r, STR("types should not be empty"));
}

static int read_buffering(struct reading *r, const struct json_value *v)
{
    const struct {
        const char *name;
        unsigned *to, least, most, otherwise;
    } all[] = {
        {"maxBytes", &r->config->max_bytes, TELEMETRY_MIN_BYTES, TELEMETRY_MAX_BYTES,
         TELEMETRY_MIN_BYTES},
        {"maxItems", &r->config->max_items, TELEMETRY_MIN_ITEMS, TELEMETRY_MAX_ITEMS,
         r->logs_api ? TELEMETRY_MAX_ITEMS : TELEMETRY_MIN_ITEMS},
        {"timeoutMs", &r->config->timeout_ms, TELEMETRY_MIN_TIMEOUT_MS, TELEMETRY_MAX_TIMEOUT_MS,
         TELEMETRY_DEFAULT_TIMEOUT_MS},
    };

    if (v && !json_is(v, JSON_OBJECT))
        return malformed(r, STR("invalid type for `buffering`, expected an object"));
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const struct json_value *given = json_get(v, all[i].name);
        int64_t n = all[i].otherwise;
        if (given && !json_i64(given, &n))
            return malformed(r, arena_printf(r->arena, "invalid type for `%s`, expected an integer",
                                             all[i].name));
        if (n < all[i].least || n > all[i].most)
            return invalid(r, arena_printf(r->arena, "%s should be between %u and %u", all[i].name,
                                           all[i].least, all[i].most));
        *all[i].to = (unsigned)n;
    }
    return 0;
}

static int read_uri(struct reading *r, struct str uri)
{
    static const struct str hosts[] = {STR_INIT("sandbox.localdomain"), STR_INIT("sandbox")};
    struct str authority, host;
    int64_t port;
    size_t i = 0;

    if (!str_starts(uri, STR("http://")))
        return refused(r, 403, "AccessDenied", STR("Only 'http' scheme is supported."));
    uri = str_slice(uri, 7, uri.len);
    size_t end = 0;
    while (end < uri.len && uri.ptr[end] != '/' && uri.ptr[end] != '?' && uri.ptr[end] != '#')
        end++;
    authority = str_slice(uri, 0, end);
    uri = str_slice(uri, end, uri.len);
    str_next(&authority, ':', &host);
    while (i < ARRAY_LEN(hosts) && !str_eq(hosts[i], host))
        i++;
    if (i == ARRAY_LEN(hosts))
        return refused(r, 403, "AccessDenied",
                       STR("Only 'sandbox.localdomain' hostname is supported."));
    if (authority.len == 0)
        return invalid(r, STR("URI port is not provided"));
    if (str_to_i64(authority, &port) < 0 || port < 1 || port > UINT16_MAX)
        return invalid(r, STR("invalid destination port"));
    if (uri.len >= sizeof(r->config->path) - 1)
        return invalid(r, STR("the destination's path is too long"));
    for (size_t k = 0; k < uri.len; k++) // it becomes part of a request's first line
        if (uri.ptr[k] <= ' ' || uri.ptr[k] >= 0x7f || uri.ptr[k] == '#')
            return invalid(r, STR("invalid destination URI"));
    snprintf(r->config->path, sizeof(r->config->path), "%s%.*s",
             uri.len == 0 || uri.ptr[0] == '?' ? "/" : "", STR_ARG(uri));
    r->config->port = (uint16_t)port;
    return 0;
}

static int read_destination(struct reading *r, const struct json_value *v)
{
    struct str protocol, text;
    int64_t port;
    int status = 0;

    if (!v)
        return missing(r, "destination");
    if (!json_is(v, JSON_OBJECT))
        return malformed(r, STR("invalid type for `destination`, expected an object"));
    if (!json_str(json_get(v, "protocol"), &protocol))
        return missing(r, "protocol");
    if (json_get(v, "method")) {
        if (!json_str(json_get(v, "method"), &text))
            return malformed(r, STR("invalid type for `method`, expected a string"));
        if (!str_eq(text, STR("PUT")) && !str_eq(text, STR("POST")))
            return unknown_variant(r, text, "`PUT` or `POST`");
        r->config->put = str_eq(text, STR("PUT"));
    }
    if (json_str(json_get(v, "encoding"), &text) && !str_eq(text, STR("JSON")))
        return unknown_variant(r, text, "`JSON`");
    if (str_eq(protocol, STR("TCP"))) {
        r->config->tcp = true;
        if (!json_i64(json_get(v, "port"), &port))
            return missing(r, "port");
        if (port < 1 || port > UINT16_MAX)
            return invalid(r, STR("port should be between 1 and 65535"));
        r->config->port = (uint16_t)port;
    } else if (str_eq(protocol, STR("HTTP"))) {
        if (!json_str(json_get(v, "URI"), &text))
            return missing(r, "URI");
        status = read_uri(r, text);
    } else {
        return unknown_variant(r, protocol, "`HTTP` or `TCP`");
    }
    if (status == 0 && r->config->port == SANDBOX_RUNTIME_API_PORT)
        return invalid(r, STR("port 9001 is reserved"));
    return status;
}

int telemetry_config_read(struct arena *a, struct str body, bool logs_api,
                          struct telemetry_config *out, const char **type, struct str *message)
{
    struct reading r = {.arena = a, .config = out, .logs_api = logs_api};
    const struct json_value *v = NULL;
    struct err err = ERR_INIT;
    int status = 0;

    *out = (struct telemetry_config){0};
    if (json_parse(a, body, &v, &err) < 0)
        status = malformed(&r, arena_str(a, str_from(err.message)));
    else if (!json_is(v, JSON_OBJECT))
        status = malformed(&r, STR("expected an object"));
    if (status == 0)
        status = read_destination(&r, json_get(v, "destination"));
    if (status == 0)
        status = read_types(&r, json_get(v, "types"));
    if (status == 0)
        status = read_schema(&r, json_get(v, "schemaVersion"));
    if (status == 0)
        status = read_buffering(&r, json_get(v, "buffering"));
    *type = r.type;
    *message = r.message;
    return status;
}
