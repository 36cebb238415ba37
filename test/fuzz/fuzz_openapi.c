// fuzz_openapi.c - an OpenAPI document of any kind over an API that is there: it is refused with a
// client's error, or what was imported can be exported and imported again.
//
// The first byte chooses how the base path is taken. The records are in a store of this process.
#include "fuzz.h"

#include "base/cleanup.h"
#include "engine/call.h"
#include "os/file.h"
#include "services/gateway/resources.h"
#include "wire/gen/apigatewayv2.h"
#include "wire/gen/apigatewayv2_handlers.h"

#include <string.h>
#include <unistd.h>

static struct str api_id, dir;

static void end(void)
{
    struct err err = ERR_INIT;

    resources_close();
    rm_rf(dir.ptr, &err);
}

static struct call make_call(struct arena *a, const char *operation)
{
    struct call c = {
        .arena = a,
        .account = STR("000000000000"),
        .region = STR("us-east-1"),
        .base_url = STR("http://127.0.0.1:4566"),
        .now_ms = 1700000000000,
    };

    for (size_t i = 0; i < wire_apigatewayv2.n_operations && !c.op; i++)
        if (strcmp(wire_apigatewayv2.operations[i].name, operation) == 0)
            c.op = &wire_apigatewayv2.operations[i];
    FUZZ_CHECK(c.op != NULL);
    return c;
}

// The store, and an API that the documents are put over.
static void begin(void)
{
    static struct arena forever;
    struct apigatewayv2_import_api_out out = {0};
    struct apigatewayv2_import_api_in in = {
        .body = STR("{\"openapi\":\"3.0.1\",\"info\":{\"title\":\"t\"},\"paths\":{}}")};
    struct err err = ERR_INIT;

    arena_init(&forever, 1 << 20);
    FUZZ_CHECK(make_temp_dir(&forever, "lambkin-fuzz-", &dir, &err) == 0);
    struct str path = arena_printf(&forever, "%.*s/gateway.db", STR_ARG(dir));
    FUZZ_CHECK(resources_open(path.ptr, &err) == 0);
    atexit(end);
    struct call c = make_call(&forever, "ImportApi");
    FUZZ_CHECK(apigatewayv2_import_api(&c, &in, &out, &err) == 0);
    api_id = out.api_id;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str modes[] = {STR_INIT(""), STR_INIT("prepend"), STR_INIT("split")};
    struct apigatewayv2_reimport_api_out out = {0}, again = {0};
    struct apigatewayv2_export_api_out exported = {0};
    struct err err = ERR_INIT;
    struct arena a;

    if (!api_id.ptr)
        begin();
    if (size < 1)
        return 0;
    arena_init(&a, (size_t)256 << 20);
    struct call c = make_call(&a, "ReimportApi");
    struct apigatewayv2_reimport_api_in in = {.api_id = api_id,
                                              .body = fuzz_input(data + 1, size - 1),
                                              .basepath = modes[data[0] % ARRAY_LEN(modes)]};
    int r = apigatewayv2_reimport_api(&c, &in, &out, &err);
    FUZZ_CHECK(r == 0 || err.aws);
    if (r == 0) {
        FUZZ_CHECK(str_eq(out.api_id, api_id));
        struct call e = make_call(&a, "ExportApi");
        const struct apigatewayv2_export_api_in export_in = {
            .api_id = api_id,
            .specification = STR("OAS30"),
            .output_type = data[0] & 1 ? STR("YAML") : STR("JSON")};
        FUZZ_CHECK(apigatewayv2_export_api(&e, &export_in, &exported, &err) == 0);
        in.body = exported.body;
        in.basepath = STR("");
        if (apigatewayv2_reimport_api(&c, &in, &again, &err) < 0) {
            fprintf(stderr, "%s\n%.*s\n", err.message, STR_ARG(exported.body));
            abort();
        }
        FUZZ_CHECK(str_eq(out.name, again.name));
    }
    arena_finish(&a);
    return 0;
}
