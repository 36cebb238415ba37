// fuzz_telemetry.c - what an extension sends about telemetry: its subscription, and its listener's
// answer to a batch, which may come in any pieces.
#include "runtime/telemetry_send.c"

#include "fuzz.h"

static void subscription(struct str body, bool logs_api)
{
    struct telemetry_config c;
    struct arena a;
    struct str message;
    const char *type;

    arena_init(&a, 1 << 20);
    int status = telemetry_config_read(&a, body, logs_api, &c, &type, &message);
    if (status != 0) {
        FUZZ_CHECK((status == 400 || status == 403) && type && message.len > 0);
    } else {
        FUZZ_CHECK(c.port != 0 && c.port != SANDBOX_RUNTIME_API_PORT && c.audience != 0);
        FUZZ_CHECK(c.max_items >= TELEMETRY_MIN_ITEMS && c.max_items <= TELEMETRY_MAX_ITEMS);
        FUZZ_CHECK(c.max_bytes >= TELEMETRY_MIN_BYTES && c.max_bytes <= TELEMETRY_MAX_BYTES);
        FUZZ_CHECK(c.timeout_ms >= TELEMETRY_MIN_TIMEOUT_MS &&
                   c.timeout_ms <= TELEMETRY_MAX_TIMEOUT_MS);
        FUZZ_CHECK((c.schema <= SCHEMA_2021_03_18) == logs_api);
        if (!c.tcp) // it becomes part of a request's first line
            FUZZ_CHECK(c.path[0] == '/' && strcspn(c.path, "\r\n \t") == strlen(c.path));
    }
    arena_finish(&a);
}

static void answer(struct str bytes)
{
    static struct subscriber s;

    s.answer_len = s.answer_body = 0;
    for (size_t at = 0; at < bytes.len && at < sizeof(s.answer) - 1; at++) {
        s.answer[s.answer_len++] = bytes.ptr[at];
        s.answer[s.answer_len] = '\0';
        // A byte at a time at its end, where it may be complete; else in larger pieces.
        if (at + 40 < bytes.len && at % 61 != 0)
            continue;
        int status = status_of(&s, false);
        FUZZ_CHECK(status >= 0 || s.answer_len >= 12);
        FUZZ_CHECK(memcmp(s.answer, bytes.ptr, s.answer_len) == 0);
    }
    if (s.answer_len > 0)
        FUZZ_CHECK(status_of(&s, true) != 0 || s.answer_len >= 12);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1};
    if (data[0] == 'a')
        answer(rest);
    else
        subscription(rest, data[0] == 'l');
    return 0;
}
