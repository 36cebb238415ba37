// fuzz_image.c - a letter that says which document of an image follows, and the document.
#include "fuzz.h"
#include "images/images_impl.h"

static void check_blob(const struct image_blob *b)
{
    FUZZ_CHECK(b->path.len > 0 && b->path.ptr[b->path.len] == '\0');
    FUZZ_CHECK(strlen(b->path.ptr) == b->path.len);
}

static void check_manifest(const struct image_manifest *m)
{
    FUZZ_CHECK(m->n_layers <= IMAGE_MAX_LAYERS);
    check_blob(&m->config);
    for (unsigned i = 0; i < m->n_layers; i++)
        check_blob(&m->layers[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct image_manifest manifest;
    static struct image_config config;
    const struct image_reference any = {.place = IMAGE_ANY_PATH};
    struct str text = fuzz_input(data, size);
    struct image_reference ref;
    struct image_blob blob;
    struct err err = ERR_INIT;
    struct arena a;

    if (size == 0)
        return 0;
    char kind = text.ptr[0];
    text = str_slice(text, 1, text.len);
    arena_init(&a, 64 << 20);
    if (kind == 'u' && image_reference_parse(text, &ref, &err) == 0)
        FUZZ_CHECK(ref.path.len > 0);
    if (kind == 'i' && image_index_choose(&a, text, &any, "amd64", &blob, &err) == 0)
        check_blob(&blob);
    if (kind == 'm' && image_manifest_parse(&a, text, &manifest, &err) == 0)
        check_manifest(&manifest);
    if (kind == 'd' && image_docker_parse(&a, text, &any, &manifest, &err) == 0)
        check_manifest(&manifest);
    if (kind == 'c' && image_config_parse(&a, text, &config, &err) == 0)
        FUZZ_CHECK(config.n_layers <= IMAGE_MAX_LAYERS && config.image.n_env <= IMAGE_MAX_WORDS);
    arena_finish(&a);
    return 0;
}
