// manifest.c - index, manifest and configuration of an image. Pure: text in, structures out.
//
// Everything that becomes part of a path is either a checked digest or (for `docker save`) is
// opened by image_open_inside() only. Counts are bounded before anything is kept.
#include "images/images_impl.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

static int parse(struct arena *a, struct str text, const char *what, const struct json_value **out,
                 struct err *err)
{
    struct err why = ERR_INIT;
    int r = json_parse(a, text, out, &why);

    if (r == -ENOMEM)
        return err_set(err, r, "out of memory");
    if (r < 0)
        return image_invalid(err, "The image's %s is not valid JSON: %.200s", what, why.message);
    if (!json_is(*out, JSON_OBJECT) && !json_is(*out, JSON_ARRAY))
        return image_invalid(err, "The image's %s is not a JSON object.", what);
    return 0;
}

static int descriptor(struct arena *a, const struct json_value *v, const char *what,
                      struct image_blob *out, struct err *err)
{
    struct str digest = json_get_or(v, "digest", STR(""));
    struct image_blob b = {.bytes = json_get_i64_or(v, "size", -1)};

    if (!image_digest_parse(digest, b.hex))
        return image_invalid(err, "The image's %s has the digest '%.*s', which is not SHA-256.",
                             what, (int)(digest.len > 80 ? 80 : digest.len), digest.ptr);
    if (b.bytes < 0)
        return image_invalid(err, "The image's %s has no size.", what);
    b.path = arena_printf(a, "blobs/sha256/%s", b.hex);
    if (str_is_null(b.path))
        return err_set(err, -ENOMEM, "out of memory");
    *out = b;
    return 0;
}

static bool platform_fits(const struct json_value *entry, const char *architecture)
{
    const struct json_value *p = json_get(entry, "platform");

    return !p || (str_eq(json_get_or(p, "architecture", STR("")), str_from(architecture)) &&
                  str_eq(json_get_or(p, "os", STR("linux")), STR("linux")));
}

static bool wanted_entry(const struct json_value *entry, const struct image_reference *wanted)
{
    const struct json_value *notes = json_get(entry, "annotations");

    if (str_is_null(wanted->tag))
        return true;
    return str_eq(json_get_or(notes, "org.opencontainers.image.ref.name", STR("")), wanted->tag) ||
           str_eq(json_get_or(notes, "io.containerd.image.name", STR("")), wanted->tag);
}

int image_index_choose(struct arena *a, struct str text, const struct image_reference *wanted,
                       const char *architecture, struct image_blob *out, struct err *err)
{
    const struct json_value *root, *chosen = NULL, *other = NULL;
    unsigned n = 0;
    int r = parse(a, text, "index", &root, err);

    if (r < 0)
        return r;
    json_each(entry, json_get(root, "manifests"))
    {
        if (!wanted_entry(entry, wanted))
            continue;
        if (!platform_fits(entry, architecture)) {
            other = entry;
            continue;
        }
        chosen = entry;
        n++;
    }
    if (!chosen && other)
        return image_invalid(err, "The image has no variant for linux/%s, which this host is.",
                             architecture);
    if (!chosen && !str_is_null(wanted->tag))
        return image_invalid(err, "The image layout has no image '%.*s'.", STR_ARG(wanted->tag));
    if (!chosen)
        return image_invalid(err, "The image layout holds no image.");
    if (n > 1)
        return image_invalid(err, "The image layout holds %u images: add :tag to the URI.", n);
    return descriptor(a, chosen, "manifest", out, err);
}

bool image_is_index(struct arena *a, struct str text)
{
    const struct json_value *root;

    return json_parse(a, text, &root, NULL) == 0 &&
           json_is(json_get(root, "manifests"), JSON_ARRAY);
}

int image_manifest_parse(struct arena *a, struct str text, struct image_manifest *out,
                         struct err *err)
{
    const struct json_value *root, *layers;
    int r = parse(a, text, "manifest", &root, err);

    if (r < 0)
        return r;
    *out = (struct image_manifest){0};
    layers = json_get(root, "layers");
    if (json_get_i64_or(root, "schemaVersion", 0) != 2 || !json_is(layers, JSON_ARRAY))
        return image_invalid(err, "The image's manifest is not of schema version 2.");
    if (json_count(layers) > IMAGE_MAX_LAYERS)
        return image_invalid(err, "The image has more than %d layers.", IMAGE_MAX_LAYERS);
    r = descriptor(a, json_get(root, "config"), "configuration", &out->config, err);
    if (r < 0)
        return r;
    json_each(layer, layers)
    {
        struct str type = json_get_or(layer, "mediaType", STR(""));
        if (str_find(type, STR("foreign")) >= 0 || str_find(type, STR("nondistributable")) >= 0)
            return image_invalid(err, "The image has a layer that is not part of it (%.*s).",
                                 (int)(type.len > 100 ? 100 : type.len), type.ptr);
        if (str_find(type, STR("tar")) < 0 || str_find(type, STR("encrypted")) >= 0)
            return image_invalid(err, "The image has a layer of the unknown type '%.*s'.",
                                 (int)(type.len > 100 ? 100 : type.len), type.ptr);
        r = descriptor(a, layer, "layer", &out->layers[out->n_layers++], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool tagged(const struct json_value *entry, struct str tag)
{
    struct str one;

    if (str_is_null(tag))
        return true;
    json_each(t, json_get(entry, "RepoTags"))
    {
        if (!json_str(t, &one))
            continue;
        if (str_eq(one, tag) ||
            (str_ends(one, tag) && one.len > tag.len && one.ptr[one.len - tag.len - 1] == ':'))
            return true;
    }
    return false;
}

static int docker_blob(struct arena *a, const struct json_value *v, struct image_blob *out,
                       struct err *err)
{
    struct str path;

    if (!json_str(v, &path) || path.len == 0 || path.len > IMAGE_MAX_NAME_BYTES ||
        memchr(path.ptr, 0, path.len))
        return image_invalid(err, "manifest.json of the image names a file that cannot be one.");
    *out = (struct image_blob){.path = arena_str(a, path), .bytes = -1};
    return str_is_null(out->path) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int image_docker_parse(struct arena *a, struct str text, const struct image_reference *wanted,
                       struct image_manifest *out, struct err *err)
{
    const struct json_value *root, *chosen = NULL, *layers;
    unsigned n = 0;
    int r = parse(a, text, "manifest.json", &root, err);

    if (r < 0)
        return r;
    *out = (struct image_manifest){0};
    json_each(entry, root)
    {
        if (!tagged(entry, wanted->tag))
            continue;
        chosen = entry;
        n++;
    }
    if (n != 1)
        return image_invalid(err, n ? "The archive holds several images: add :name:tag to the URI."
                                    : "The archive has no such image.");
    layers = json_get(chosen, "Layers");
    if (json_count(layers) > IMAGE_MAX_LAYERS)
        return image_invalid(err, "The image has more than %d layers.", IMAGE_MAX_LAYERS);
    r = docker_blob(a, json_get(chosen, "Config"), &out->config, err);
    json_each(layer, layers)
    {
        if (r == 0)
            r = docker_blob(a, layer, &out->layers[out->n_layers++], err);
    }
    return r;
}

// A list of strings without NUL. Absent and null are empty.
static int words(struct arena *a, const struct json_value *v, const char *what, struct str **out,
                 size_t *n, struct err *err)
{
    *out = NULL;
    *n = 0;
    if (json_is_null(v))
        return 0;
    if (!json_is(v, JSON_ARRAY) || json_count(v) > IMAGE_MAX_WORDS)
        return image_invalid(err, "%s of the image is no list of up to %d strings.", what,
                             IMAGE_MAX_WORDS);
    struct str *list = arena_new_array(a, struct str, json_count(v) + 1);
    if (!list)
        return err_set(err, -ENOMEM, "out of memory");
    json_each(word, v)
    {
        struct str s;
        if (!json_str(word, &s) || memchr(s.ptr ? s.ptr : "", 0, s.len))
            return image_invalid(err, "%s of the image is no list of strings.", what);
        list[(*n)++] = s.len ? arena_str(a, s) : STR("");
    }
    *out = list;
    return 0;
}

int image_config_parse(struct arena *a, struct str text, struct image_config *out, struct err *err)
{
    const struct json_value *root, *config, *ids;
    int r = parse(a, text, "configuration", &root, err);

    if (r < 0)
        return r;
    *out = (struct image_config){0};
    config = json_get(root, "config");
    out->image.architecture = arena_str(a, json_get_or(root, "architecture", STR("")));
    out->image.working_dir = arena_str(a, json_get_or(config, "WorkingDir", STR("")));
    if (memchr(out->image.working_dir.ptr ? out->image.working_dir.ptr : "", 0,
               out->image.working_dir.len))
        return image_invalid(err, "WorkingDir of the image contains NUL.");
    struct str os = json_get_or(root, "os", STR("linux"));
    if (!str_eq(os, STR("linux")))
        return image_invalid(err, "The image is made for %.*s; only linux runs here.",
                             (int)(os.len > 40 ? 40 : os.len), os.ptr);
    r = words(a, json_get(config, "Entrypoint"), "Entrypoint", &out->image.entrypoint,
              &out->image.n_entrypoint, err);
    if (r == 0)
        r = words(a, json_get(config, "Cmd"), "Cmd", &out->image.command, &out->image.n_command,
                  err);
    if (r == 0)
        r = words(a, json_get(config, "Env"), "Env", &out->image.env, &out->image.n_env, err);
    if (r < 0)
        return r;
    ids = json_path(root, "rootfs", "diff_ids", NULL);
    if (json_count(ids) > IMAGE_MAX_LAYERS)
        return image_invalid(err, "The image has more than %d layers.", IMAGE_MAX_LAYERS);
    json_each(id, ids)
    {
        struct str digest;
        if (!json_str(id, &digest) || !image_digest_parse(digest, out->diff_ids[out->n_layers++]))
            return image_invalid(err, "The image's configuration has a layer without a SHA-256 "
                                      "digest.");
    }
    return 0;
}
