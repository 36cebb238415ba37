// fuzz_json_schema.c - a schema, a NUL, and a document.
#include "fuzz.h"
#include "services/gateway/json_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = fuzz_input(data, size);
    ptrdiff_t at = str_find_char(all, 0);
    const struct json_value *schema, *document;
    struct arena a;

    if (at < 0)
        return 0;
    arena_init(&a, 8 << 20);
    if (json_parse(&a, str_slice(all, 0, (size_t)at), &schema, NULL) == 0 &&
        json_parse(&a, str_slice(all, (size_t)at + 1, all.len), &document, NULL) == 0) {
        json_schema_fits(schema, document);
        model_template(&a, schema);
    }
    arena_finish(&a);
    return 0;
}
