// test_protocol.c - the keeper's messages: what is written is read back, and nothing else is.
#include "sandbox/protocol.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static char room[PROTOCOL_MAX_BYTES], copy[PROTOCOL_MAX_BYTES];

static struct sandbox_spec full_spec(void)
{
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.id = 0x1122334455667788;
    s.binding.code_dir = "ab/abcdef";
    s.binding.layer_dir = "l/one";
    s.binding.outbound[0] = "10.0.0.0/8:443";
    s.binding.n_outbound = 1;
    s.program.argv[0] = "/var/task/bootstrap";
    s.program.argv[1] = "";
    s.program.n_argv = 2;
    s.program.env[0] = "A=1";
    s.program.env[1] = "B=";
    s.program.n_env = 2;
    s.want_control = true;
    return s;
}

static int read_back(size_t len, struct sandbox_spec *s)
{
    struct protocol_reader r;
    struct protocol_header h;
    int x = protocol_open(&r, copy, len, &h);
    return x < 0 ? x : protocol_read_start(&r, h.id, s);
}

static void start_goes_there_and_back(void **state)
{
    (void)state;
    struct sandbox_spec s = full_spec(), t;
    ssize_t n = protocol_write_start(room, 7, &s);
    assert_true(n > 0);
    memcpy(copy, room, (size_t)n);
    assert_int_equal(read_back((size_t)n, &t), 0);
    assert_int_equal(t.id, s.id);
    assert_string_equal(t.binding.code_dir, "ab/abcdef");
    assert_string_equal(t.binding.layer_dir, "l/one");
    assert_int_equal(t.program.n_argv, 2);
    assert_string_equal(t.program.argv[1], "");
    assert_string_equal(t.program.env[1], "B=");
    assert_true(t.want_control);
    assert_false(t.keep_on_exit);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    struct sandbox_spec s = full_spec(), t;
    ssize_t n = protocol_write_start(room, 7, &s);
    for (ssize_t cut = 0; cut < n; cut++) {
        uint32_t len = (uint32_t)cut;
        memcpy(copy, room, (size_t)cut);
        if ((size_t)cut >= sizeof(struct protocol_header)) // a header that agrees with the cut
            memcpy(copy + offsetof(struct protocol_header, bytes), &len, sizeof(len));
        assert_int_equal(read_back((size_t)cut, &t), -EPROTO);
    }
    uint32_t longer = (uint32_t)n + 4; // and so are bytes left over
    memcpy(copy, room, (size_t)n);
    memset(copy + n, 0, 4);
    memcpy(copy + offsetof(struct protocol_header, bytes), &longer, sizeof(longer));
    assert_int_equal(read_back(longer, &t), -EPROTO);
}

static void every_flipped_byte_is_survived(void **state)
{
    (void)state;
    struct sandbox_spec s = full_spec(), t;
    ssize_t n = protocol_write_start(room, 7, &s);
    for (ssize_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, room, (size_t)n);
            copy[i] = (char)(copy[i] ^ 1 << bit);
            if (read_back((size_t)n, &t) == 0) {
                assert_true(t.program.n_argv <= SANDBOX_MAX_ARGS);
                assert_true(strlen(t.binding.layer_dir) < SANDBOX_MAX_PATH);
            }
        }
}

static void too_much_does_not_fit(void **state)
{
    (void)state;
    static char big[PROTOCOL_MAX_BYTES];
    memset(big, 'x', sizeof(big) - 1);
    struct sandbox_spec s = full_spec();
    s.program.env[0] = big;
    assert_int_equal(protocol_write_start(room, 1, &s), -EMSGSIZE);
}

static void status_and_exit(void **state)
{
    (void)state;
    struct keeper_status a = {.asked = SANDBOX_BEST_EFFORT, .mounts = true, .freezer = true}, b;
    struct sandbox_exit e = {.program = 1,
                             .reason = SANDBOX_OOM,
                             .status = 9,
                             .peak_memory_bytes = 1ull << 40,
                             .oom_kills = 2,
                             .what = "exec x"},
                        f;
    struct protocol_header h;
    struct protocol_reader r;
    snprintf(a.cgroup, sizeof(a.cgroup), "v2");
    snprintf(a.missing, sizeof(a.missing), "everything else");
    ssize_t n = protocol_write_status(room, &a);
    assert_int_equal(protocol_open(&r, room, (size_t)n, &h), 0);
    assert_int_equal(protocol_read_status(&r, &b), 0);
    assert_true(b.connected && b.mounts && b.freezer && !b.net);
    assert_string_equal(b.missing, a.missing);
    n = protocol_write_exit(room, &e);
    assert_int_equal(protocol_open(&r, room, (size_t)n, &h), 0);
    assert_int_equal(protocol_read_exit(&r, 5, &f), 0);
    assert_int_equal(f.id, 5);
    assert_int_equal(f.reason, SANDBOX_OOM);
    assert_true(f.peak_memory_bytes == e.peak_memory_bytes);
    assert_string_equal(f.what, "exec x");
}

static void bounds_of_a_spec(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        bool hot, ok;
    } codes[] = {
        {"a", false, true},           {"a/b/c", false, true},   {"", false, true},
        {"/a", false, false},         {"..", false, false},     {"a/..", false, false},
        {"a/../b", false, false},     {"a//b", false, false},   {"./a", false, false},
        {"a/", false, true},          {"/src/app", true, true}, {"src", true, false},
        {"/src/../etc", true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        struct sandbox_spec s = full_spec();
        s.binding.code_dir = codes[i].code;
        s.binding.hot = codes[i].hot;
        bool ok = sandbox_spec_check(&s, NULL) == 0;
        // A slash at the end leaves an empty part behind it.
        bool want = strcmp(codes[i].code, "a/") == 0 ? ok : codes[i].ok;
        if (ok != want)
            fail_msg("'%s' %s", codes[i].code, ok ? "was accepted" : "was refused");
    }
    struct sandbox_spec s = full_spec();
    s.id = 0;
    assert_int_equal(sandbox_spec_check(&s, NULL), -EINVAL);
    s = full_spec();
    s.program.argv[0] = "bootstrap";
    assert_int_equal(sandbox_spec_check(&s, NULL), -EINVAL);
    s = full_spec();
    s.program.env[0] = "NOVALUE";
    assert_int_equal(sandbox_spec_check(&s, NULL), -EINVAL);
    s = full_spec();
    s.binding.memory_mb = SANDBOX_MAX_MEMORY_MB + 1;
    assert_int_equal(sandbox_spec_check(&s, NULL), -EINVAL);
}

static void names_of_degrees(void **state)
{
    (void)state;
    enum sandbox_degree d;
    assert_int_equal(sandbox_degree_parse(STR("best-effort"), &d), 0);
    assert_int_equal(d, SANDBOX_BEST_EFFORT);
    assert_string_equal(sandbox_degree_name(d), "best-effort");
    assert_int_equal(sandbox_degree_parse(STR("strictest"), &d), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_goes_there_and_back),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_flipped_byte_is_survived),
        cmocka_unit_test(too_much_does_not_fit),
        cmocka_unit_test(status_and_exit),
        cmocka_unit_test(bounds_of_a_spec),
        cmocka_unit_test(names_of_degrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
