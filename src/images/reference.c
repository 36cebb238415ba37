// reference.c - which image is meant by a URI. Pure: looks at no disk.
#include "images/images_impl.h"

#include "base/cleanup.h"
#include "base/hex.h"

#include <stdio.h>

int image_invalid(struct err *err, const char *format, ...)
{
    static const struct aws_error invalid = {"InvalidParameterValueException", NULL, 400, true};
    char message[ERR_MESSAGE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (err)
        err->n_fields = 0;
    err_field(err, "Type", "User");
    return err_aws(err, &invalid, "%s", message);
}

bool image_digest_parse(struct str text, char hex[static SHA256_HEX_BYTES])
{
    static const struct str prefix = STR_INIT("sha256:");

    if (!str_starts(text, prefix) || text.len != prefix.len + SHA256_HEX_BYTES - 1)
        return false;
    for (size_t i = prefix.len; i < text.len; i++)
        if (hex_digit(text.ptr[i]) < 0 || (text.ptr[i] >= 'A' && text.ptr[i] <= 'F'))
            return false;
    snprintf(hex, SHA256_HEX_BYTES, "%.*s", (int)(text.len - prefix.len), text.ptr + prefix.len);
    return true;
}

static bool control_characters(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    return false;
}

// Takes "@sha256:…" or ":tag" off the end of a path. A tag begins after the first colon, so a path
// cannot have one: `docker save` archives are tagged repository/name:tag.
static int cut_name(struct image_reference *r, struct err *err)
{
    ptrdiff_t at = str_find(r->path, STR("@sha256:"));
    char hex[SHA256_HEX_BYTES];

    if (r->place == IMAGE_REGISTRY)
        return 0; // skopeo's to read
    if (at >= 0) {
        struct str digest = str_slice(r->path, (size_t)at + 1, r->path.len);
        if (!image_digest_parse(digest, hex))
            return image_invalid(err, "The digest of the image is not a SHA-256 digest.");
        r->digest = str_slice(digest, 7, digest.len);
        r->path.len = (size_t)at;
    }
    at = str_find_char(r->path, ':');
    if (at >= 0) {
        r->tag = str_slice(r->path, (size_t)at + 1, r->path.len);
        r->path.len = (size_t)at;
        if (r->tag.len == 0)
            return image_invalid(err, "The image URI ends in a colon without a tag.");
    }
    return 0;
}

bool image_uri_is_path(struct str uri)
{
    struct image_reference r;

    return image_reference_parse(uri, &r, NULL) == 0 && r.place != IMAGE_REGISTRY;
}

int image_reference_parse(struct str uri, struct image_reference *out, struct err *err)
{
    static const struct {
        struct str prefix;
        enum image_place place;
    } schemes[] = {
        {STR_INIT("oci:"), IMAGE_OCI_LAYOUT},
        {STR_INIT("oci-archive:"), IMAGE_OCI_ARCHIVE},
        {STR_INIT("docker-archive:"), IMAGE_DOCKER_ARCHIVE},
        {STR_INIT("docker://"), IMAGE_REGISTRY},
    };
    struct image_reference r = {.place = IMAGE_REGISTRY, .path = uri};

    if (uri.len == 0 || uri.len > 1024 || control_characters(uri))
        return image_invalid(err, "ImageUri must have 1 to 1024 characters, none of them control "
                                  "characters.");
    if (uri.ptr[0] == '/')
        r.place = IMAGE_ANY_PATH;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_starts(uri, schemes[i].prefix)) {
            r.place = schemes[i].place;
            r.path = str_slice(uri, schemes[i].prefix.len, uri.len);
            break;
        }
    if (r.place != IMAGE_REGISTRY && (r.path.len < 2 || r.path.ptr[0] != '/'))
        return image_invalid(err, "The path in the image URI '%.*s' is not absolute.",
                             (int)(uri.len > 200 ? 200 : uri.len), uri.ptr);
    if (r.place == IMAGE_REGISTRY && (r.path.len == 0 || r.path.ptr[0] == '-'))
        return image_invalid(err, "The image URI '%.*s' is not valid.",
                             (int)(uri.len > 200 ? 200 : uri.len), uri.ptr);
    int rc = cut_name(&r, err);
    if (rc == 0)
        *out = r;
    return rc;
}
