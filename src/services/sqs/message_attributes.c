// message_attributes.c - attributes of messages: rules, encoding, MD5; receipt handles.
//
// Attributes are kept in the encoding over which AWS defines their MD5: sorted by name, each
// u32 length + name, u32 length + type, u8 1 (text) or 2 (binary), u32 length + value; big-endian.
#include "services/sqs/sqs_impl.h"

#include "base/base64.h"
#include "base/hash.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>

struct str sqs_md5(struct arena *a, struct str data)
{
    char hex[MD5_HEX_BYTES];
    hash_md5_hex(data, hex);
    return arena_str(a, str_from(hex));
}

// SendMessage: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF
bool sqs_text_allowed(struct str s)
{
    while (s.len > 0) {
        uint32_t c;
        unsigned n = 1;
        unsigned char first = (unsigned char)s.ptr[0];
        if (first < 0x80) {
            c = first;
        } else {
            n = utf8_next(s, &c);
            if (n == 0)
                return false;
        }
        if ((c < 0x20 && c != 0x9 && c != 0xA && c != 0xD) || c == 0xFFFE || c == 0xFFFF)
            return false;
        s = str_slice(s, n, s.len);
    }
    return true;
}

static void put_u32(struct buf *b, size_t n)
{
    const char bytes[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    buf_add(b, (struct str){bytes, 4});
}

static bool is_binary(struct str type)
{
    return str_eq(type, STR("Binary")) || str_starts(type, STR("Binary."));
}

static int by_name(const void *a, const void *b)
{
    const struct sqs_attribute *x = a, *y = b;
    return str_cmp(x->name, y->name);
}

int sqs_attributes_encode(struct arena *a, const struct sqs_attribute *in, size_t n,
                          struct str *out)
{
    struct buf b;
    *out = STR_NULL;
    if (n == 0)
        return 0;
    struct sqs_attribute *sorted = arena_new_array(a, struct sqs_attribute, n);
    if (!sorted)
        return -ENOMEM;
    memcpy(sorted, in, n * sizeof(*in));
    qsort(sorted, n, sizeof(*sorted), by_name);
    buf_init(&b, (size_t)4 << 20);
    for (size_t i = 0; i < n; i++) {
        put_u32(&b, sorted[i].name.len);
        buf_add(&b, sorted[i].name);
        put_u32(&b, sorted[i].type.len);
        buf_add(&b, sorted[i].type);
        buf_add_char(&b, is_binary(sorted[i].type) ? 2 : 1);
        put_u32(&b, sorted[i].value.len);
        buf_add(&b, sorted[i].value);
    }
    if (!b.failed)
        *out = arena_str(a, buf_str(&b));
    buf_finish(&b);
    return str_is_null(*out) ? -ENOMEM : 0;
}

static bool take(struct str *rest, size_t n, struct str *out)
{
    if (rest->len < n)
        return false;
    *out = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n, rest->len);
    return true;
}

static bool take_text(struct str *rest, struct str *out)
{
    struct str n;
    if (!take(rest, 4, &n))
        return false;
    const unsigned char *p = (const unsigned char *)n.ptr;
    return take(rest, (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3], out);
}

int sqs_attributes_decode(struct arena *a, struct str encoded, struct sqs_attribute **out,
                          size_t *n)
{
    struct sqs_attribute *list = arena_new_array(a, struct sqs_attribute, SQS_MAX_ATTRIBUTES + 1);
    size_t found = 0;
    if (!list)
        return -ENOMEM;
    while (encoded.len > 0 && found < SQS_MAX_ATTRIBUTES) {
        struct sqs_attribute *x = &list[found];
        struct str kind;
        if (!take_text(&encoded, &x->name) || !take_text(&encoded, &x->type) ||
            !take(&encoded, 1, &kind) || !take_text(&encoded, &x->value))
            return -EUCLEAN;
        found++;
    }
    *out = list;
    *n = found;
    return 0;
}

// --- rules ---

static bool name_allowed(struct str name)
{
    if (name.len < 1 || name.len > 256 || name.ptr[0] == '.' || name.ptr[name.len - 1] == '.')
        return false;
    if ((name.len >= 4 && str_eq_nocase(str_slice(name, 0, 4), STR("AWS."))) ||
        (name.len >= 7 && str_eq_nocase(str_slice(name, 0, 7), STR("Amazon."))))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '_' && c != '-' && c != '.')
            return false;
        if (c == '.' && name.ptr[i - 1] == '.')
            return false;
    }
    return true;
}

static bool type_is(struct str type, struct str base)
{
    return str_eq(type, base) ||
           (str_starts(type, base) && type.len > base.len + 1 && type.ptr[base.len] == '.');
}

static bool number_allowed(struct str s)
{
    char copy[160], *end;
    if (s.len == 0 || s.len >= sizeof(copy))
        return false;
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    if (strspn(copy, "0123456789+-.eE") != s.len)
        return false;
    strtod(copy, &end);
    return *end == '\0';
}

static int check_value(struct str name, struct str type, struct str text, struct str binary,
                       struct sqs_attribute *out, struct err *err)
{
    if (type.len == 0)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "The message attribute '%.*s' must contain non-empty message attribute "
                       "type.",
                       STR_ARG(name));
    if (type.len > 256 || (!type_is(type, STR("String")) && !type_is(type, STR("Number")) &&
                           !type_is(type, STR("Binary"))))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "The message attribute '%.*s' has an invalid message attribute type, the "
                       "set of supported type prefixes is Binary, Number, and String.",
                       STR_ARG(name));
    *out = (struct sqs_attribute){name, type, is_binary(type) ? binary : text};
    if (out->value.len == 0)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "The message attribute '%.*s' must contain non-empty message attribute "
                       "value for message attribute type '%s'.",
                       STR_ARG(name),
                       is_binary(type)                ? "Binary"
                       : type_is(type, STR("Number")) ? "Number"
                                                      : "String");
    if (type_is(type, STR("Number")) && !number_allowed(out->value))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Can't cast the value of message (user) attribute '%.*s' to a number.",
                       STR_ARG(name));
    if (!is_binary(type) && !sqs_text_allowed(out->value))
        return err_aws(err, &SQS_INVALID_MESSAGE_CONTENTS,
                       "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | "
                       "#x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.");
    return 0;
}

int sqs_message_attributes_encode(struct arena *a, const struct sqs_message_body_attribute_map *in,
                                  struct str *out, size_t *bytes, struct err *err)
{
    struct sqs_attribute list[SQS_MAX_ATTRIBUTES];
    *out = STR_NULL;
    *bytes = 0;
    if (in->n > SQS_MAX_ATTRIBUTES)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Number of message attributes [%zu] exceeds the allowed maximum [10].",
                       in->n);
    for (size_t i = 0; i < in->n; i++) {
        const struct sqs_message_body_attribute_map_entry *e = &in->ptr[i];
        if (!name_allowed(e->key))
            return err_aws(
                err, &SQS_INVALID_PARAMETER_VALUE,
                "The message attribute name '%.*s' is invalid. Attribute name can "
                "contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.), must "
                "not start with AWS. or Amazon., nor have periods at its ends or in "
                "succession.",
                STR_ARG(e->key));
        if (e->value.string_list_values.n > 0 || e->value.binary_list_values.n > 0)
            return err_aws(err, &SQS_UNSUPPORTED_OPERATION,
                           "Message attribute list values in SendMessage operation are not "
                           "supported.");
        int r = check_value(e->key, e->value.data_type, e->value.string_value,
                            e->value.binary_value, &list[i], err);
        if (r < 0)
            return r;
        *bytes += list[i].name.len + list[i].type.len + list[i].value.len;
    }
    return sqs_attributes_encode(a, list, in->n, out);
}

int sqs_system_attributes_read(struct arena *a,
                               const struct sqs_message_body_system_attribute_map *in,
                               struct str *trace, struct str *md5, struct err *err)
{
    struct sqs_attribute list[1];
    struct str encoded;
    *trace = *md5 = STR_NULL;
    if (in->n == 0)
        return 0;
    for (size_t i = 0; i < in->n; i++) {
        const struct sqs_message_body_system_attribute_map_entry *e = &in->ptr[i];
        if (!str_eq(e->key, STR("AWSTraceHeader")) || i > 0)
            return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                           "Message system attribute name '%.*s' is invalid.", STR_ARG(e->key));
        if (!str_eq(e->value.data_type, STR("String")))
            return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                           "The message system attribute '%.*s' must be of type String.",
                           STR_ARG(e->key));
        int r =
            check_value(e->key, e->value.data_type, e->value.string_value, STR_NULL, &list[0], err);
        if (r < 0)
            return r;
    }
    *trace = list[0].value;
    if (sqs_attributes_encode(a, list, 1, &encoded) < 0)
        return err_set(err, -ENOMEM, "attributes: out of memory");
    *md5 = sqs_md5(a, encoded);
    return 0;
}

// --- receipt handles: base64 of version, queue, seq, receive count, and a sum over them ---

#define RECEIPT_BYTES 29

struct str sqs_receipt_make(struct arena *a, const struct sqs_receipt *r)
{
    uint8_t bytes[RECEIPT_BYTES] = {1}, digest[SHA256_BYTES];
    memcpy(bytes + 1, &r->queue, 8);
    memcpy(bytes + 9, &r->seq, 8);
    memcpy(bytes + 17, &r->received, 4);
    hash_sha256((struct str){(char *)bytes, 21}, digest);
    memcpy(bytes + 21, digest, 8);
    return base64_arena(a, (struct str){(char *)bytes, sizeof(bytes)});
}

bool sqs_receipt_parse(struct arena *a, struct str handle, struct sqs_receipt *out)
{
    uint8_t digest[SHA256_BYTES];
    struct str bytes;
    if (handle.len != BASE64_ENCODED_LEN(RECEIPT_BYTES) || base64_decode(a, handle, &bytes) < 0 ||
        bytes.len != RECEIPT_BYTES || bytes.ptr[0] != 1)
        return false;
    hash_sha256(str_slice(bytes, 0, 21), digest);
    if (memcmp(digest, bytes.ptr + 21, 8) != 0)
        return false;
    memcpy(&out->queue, bytes.ptr + 1, 8);
    memcpy(&out->seq, bytes.ptr + 9, 8);
    memcpy(&out->received, bytes.ptr + 17, 4);
    return true;
}
