// fuzz_xml.c - the XML reader on anything; any text escaped is text again.
#include "base/utf8.h"
#include "base/xml.h"
#include "fuzz.h"

static size_t walk(const struct xml_node *n)
{
    size_t count = 0;

    for (; n; n = n->next) {
        FUZZ_CHECK(n->name.len > 0);
        for (const struct xml_attribute *at = n->attributes; at; at = at->next)
            FUZZ_CHECK(at->name.ptr != NULL && at->value.ptr != NULL);
        count += 1 + walk(n->children);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct xml_node *root = NULL;
    struct err err = ERR_INIT;
    struct arena a;
    int r;

    arena_init(&a, 64 << 20);
    r = xml_parse(&a, in, &root, &err);
    FUZZ_CHECK((r == 0) == (root != NULL));
    if (r == 0)
        FUZZ_CHECK(walk(root) > 0);
    arena_finish(&a);
    return 0;
}
