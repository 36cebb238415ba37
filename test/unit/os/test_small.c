// test_small.c - clocks, random bytes, the log.
#include "base/cleanup.h"
#include "os/fd.h"
#include "os/log.h"
#include "os/random.h"
#include "os/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_random_bytes_do_not_repeat(void **state)
{
    uint64_t seen[200];
    unsigned char big[1000] = {0};
    unsigned zero = 0;
    int ends[2];
    (void)state;

    for (unsigned i = 0; i < 200; i++) {
        seen[i] = os_random_u64();
        for (unsigned k = 0; k < i; k++)
            assert_true(seen[k] != seen[i]);
        assert_true(os_random_below(7) < 7);
        assert_int_equal(os_random_below(1), 0);
    }
    os_random(big, sizeof big);
    for (unsigned i = 0; i < sizeof big; i++)
        zero += big[i] == 0;
    assert_true(zero < 100);

    // A child does not continue with its parent's bytes.
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t v = os_random_u64();
        _exit(write(ends[1], &v, sizeof v) == sizeof v ? 0 : 1);
    }
    uint64_t ours = os_random_u64(), theirs = 0;
    assert_int_equal(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
    waitpid(pid, NULL, 0);
    assert_true(ours != theirs);
    close(ends[0]);
    close(ends[1]);
}

static void test_a_log_line_is_one_line(void **state)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    char long_text[5000];
    int ends[2];
    enum log_level level;
    (void)state;

    assert_int_equal(pipe(ends), 0);
    log_init("test", LOG_LEVEL_INFO);
    log_set_fd(ends[1]);
    errno = EPERM;
    log_debug("not %s", "this");
    log_info("a\nb\x1b[1m\t%d", 5);
    assert_int_equal(errno, EPERM);
    memset(long_text, 'x', sizeof long_text);
    long_text[4999] = 0;
    log_error("%s", long_text);
    log_set_fd(2);
    close(ends[1]);
    buf_init(&b, 10000);
    assert_int_equal(fd_read_all(ends[0], &b), 0);
    close(ends[0]);
    struct str rest = buf_str(&b), line;
    assert_true(str_next(&rest, '\n', &line));
    assert_true(str_ends(line, STR("Z info test: a\\x0ab\\x1b[1m 5")));
    assert_int_equal(line.ptr[10], 'T');
    assert_true(str_next(&rest, '\n', &line));
    assert_true(line.len > 3900 && line.len <= 4095);
    assert_true(str_next(&rest, '\n', &line));
    assert_int_equal(line.len, 0);

    assert_int_equal(log_level_parse(STR("warn"), &level), 0);
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse(STR("loud"), &level), -EINVAL);
}

static void test_clocks(void **state)
{
    (void)state;
    assert_true(os_now_ms() > 1600000000000);
    int64_t a = os_mono_ns();
    assert_true(os_mono_ns() >= a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_bytes_do_not_repeat),
        cmocka_unit_test(test_a_log_line_is_one_line),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
