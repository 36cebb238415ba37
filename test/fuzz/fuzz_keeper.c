// fuzz_keeper.c - the keeper's messages: whatever arrives is refused whole, or within its bounds.
#include "fuzz.h"

#include "sandbox/outbound.h"
#include "sandbox/protocol.h"

#include <stdio.h>
#include <sys/socket.h>

static char room[PROTOCOL_MAX_BYTES + 1], again[PROTOCOL_MAX_BYTES];

static void check_binding(const struct sandbox_binding *b)
{
    FUZZ_CHECK(b->n_outbound <= SANDBOX_MAX_OUTBOUND);
    FUZZ_CHECK(strlen(b->code_dir) < SANDBOX_MAX_PATH);
    FUZZ_CHECK(strlen(b->layer_dir) < SANDBOX_MAX_PATH);
}

static void start(struct protocol_reader r, uint64_t id)
{
    static struct sandbox_spec s, t;
    if (protocol_read_start(&r, id, &s) < 0)
        return;
    check_binding(&s.binding);
    if (sandbox_spec_check(&s, NULL) < 0)
        return;
    FUZZ_CHECK(!strstr(s.binding.code_dir, "../") &&
               (s.binding.hot || s.binding.code_dir[0] != '/'));
    // What was accepted is written the same way.
    ssize_t n = protocol_write_start(again, 1, &s);
    struct protocol_header h;
    FUZZ_CHECK(n > 0);
    struct protocol_reader second;
    FUZZ_CHECK(protocol_open(&second, again, (size_t)n, &h) == 0);
    FUZZ_CHECK(protocol_read_start(&second, h.id, &t) == 0);
    FUZZ_CHECK(t.program.n_argv == s.program.n_argv && t.program.n_env == s.program.n_env);
}

static void inject(struct protocol_reader r)
{
    static struct sandbox_binding b;
    static struct sandbox_program p;
    protocol_get_binding(&r, &b);
    protocol_get_program(&r, &p);
    if (protocol_close(&r) == 0)
        check_binding(&b);
}

static void exec_and_connect(struct protocol_reader r)
{
    static struct sandbox_program p;
    struct protocol_reader q = r;
    bool own_output;
    uint16_t port;
    if (protocol_read_exec(&q, &p, &own_output) == 0)
        FUZZ_CHECK(p.n_argv <= SANDBOX_MAX_ARGS && p.n_env <= SANDBOX_MAX_ENV);
    q = r;
    if (protocol_read_connect(&q, &port) == 0)
        FUZZ_CHECK(port != 0);
}

// A destination that was let through denotes a network: no bit stands beyond its mask.
static void destination(const uint8_t *data, size_t size)
{
    char text[128];
    struct outbound_network n;
    snprintf(text, sizeof(text), "%.*s", (int)size, (const char *)data);
    if (outbound_parse(text, &n, NULL) < 0)
        return;
    unsigned most = n.family == AF_INET ? 32 : 128;
    FUZZ_CHECK(n.bits <= most);
    for (unsigned i = n.bits; i < 128; i++)
        FUZZ_CHECK(!(n.address[i / 8] >> (7 - i % 8) & 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // The header is made to fit, or mutations would not get past it.
    struct protocol_header h = {.magic = PROTOCOL_MAGIC, .id = 1};
    struct protocol_reader r;
    if (size == 0 || size > PROTOCOL_MAX_BYTES - sizeof(h))
        return 0;
    h.kind = data[0];
    h.bytes = (uint32_t)(sizeof(h) + size - 1);
    memcpy(room, &h, sizeof(h));
    memcpy(room + sizeof(h), data + 1, size - 1);
    FUZZ_CHECK(protocol_open(&r, room, h.bytes, &h) == 0);
    start(r, 1);
    inject(r);
    exec_and_connect(r);
    destination(data + 1, size - 1);
    struct protocol_reader q = r;
    struct keeper_status s;
    if (protocol_read_status(&q, &s) == 0)
        FUZZ_CHECK(memchr(s.missing, '\0', sizeof(s.missing)) && s.asked <= SANDBOX_NONE);
    q = r;
    struct sandbox_exit e;
    if (protocol_read_exit(&q, 1, &e) == 0)
        FUZZ_CHECK(memchr(e.what, '\0', sizeof(e.what)) && e.reason <= SANDBOX_FAILED);
    // And as it came, header and all.
    memcpy(room, data, size);
    if (protocol_open(&r, room, size, &h) == 0)
        start(r, h.id);
    return 0;
}
