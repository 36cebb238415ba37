// test_process.c - starting programs, and messages with descriptors.
#include "base/cleanup.h"
#include "os/fd.h"
#include "os/message.h"
#include "os/spawn.h"
#include "os/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(const char *script, int timeout_ms, struct buf *out, int *status)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)script, NULL};
    char *envp[] = {(char *)"PATH=/usr/bin:/bin", (char *)"A=b", NULL};
    struct spawn s = {.path = "/bin/sh", .argv = argv, .envp = envp, .cwd = "/"};
    struct err err = ERR_INIT;

    return spawn_run(&s, timeout_ms, out, status, &err);
}

static void test_output_and_status(void **state)
{
    _cleanup_(buf_finishp) struct buf out = {0};
    int status;
    (void)state;

    buf_init(&out, 1000);
    assert_int_equal(run("echo $A; pwd >&2; read x || exit 7", 60000, &out, &status), 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_true(str_eq(buf_str(&out), STR("b\n/\n")));
    buf_reset(&out);
    assert_int_equal(run("head -c 100000 /dev/zero", 60000, &out, &status), 0);
    assert_int_equal(out.len, 1000);
    // What it leaves running does not hold us up.
    buf_reset(&out);
    assert_int_equal(run("echo x; sleep 1000 & echo $!", 60000, &out, &status), 0);
    assert_true(out.len > 3);
    int64_t pid;
    assert_int_equal(str_to_i64(str_trim(str_slice(buf_str(&out), 2, out.len)), &pid), 0);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
}

static void test_time_limit_kills_the_group(void **state)
{
    _cleanup_(buf_finishp) struct buf out = {0};
    int status = 0;
    (void)state;

    buf_init(&out, 1000);
    int64_t start = os_mono_ms();
    assert_int_equal(run("sleep 1000; true", 50, &out, &status), -ETIMEDOUT);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(os_mono_ms() - start < 30000);
}

static void test_only_listed_descriptors_are_passed(void **state)
{
    struct err err = ERR_INIT;
    int a[2], b[2], status;
    pid_t pid;
    char got[16] = {0};
    char *argv[] = {(char *)"sh", (char *)"-c",
                    (char *)"echo 3 >&3; echo 4 >&4; echo 9 >&9 && exit 1; exit 5", NULL};
    (void)state;

    assert_int_equal(pipe(a), 0); // not close-on-exec: must be closed all the same
    assert_int_equal(pipe(b), 0);
    int leak = fcntl(a[1], F_DUPFD, 9);
    assert_true(leak >= 9);
    // Crosswise: each one's number may be the other's target.
    struct spawn_fd fds[] = {{a[1], 4}, {b[1], 3}, {-1, 2}};
    struct spawn s = {.path = "sh", .argv = argv, .fds = fds, .n_fds = 3};
    assert_int_equal(spawn_start(&s, &pid, &err), 0);
    assert_int_equal(spawn_wait(pid, 60000, &status), 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    assert_int_equal(read(a[0], got, sizeof got), 2);
    assert_string_equal(got, "4\n");
    assert_int_equal(read(b[0], got, sizeof got), 2);
    assert_string_equal(got, "3\n");
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    close(leak);
    char *none[] = {(char *)"x", NULL};
    s = (struct spawn){.path = "/nowhere/x", .argv = none};
    assert_int_equal(spawn_start(&s, &pid, &err), -ENOENT);
}

static void test_messages_carry_descriptors(void **state)
{
    struct err err = ERR_INIT;
    int fds[2], got[4];
    char text[64];
    unsigned n = 4;
    (void)state;

    assert_int_equal(message_pair(fds, &err), 0);
    _cleanup_close_ int memfd = fd_memfd("m", STR("inside"), &err);
    int send[2] = {memfd, memfd};
    assert_int_equal(message_send(fds[0], "hello", 5, send, 2, &err), 0);
    assert_int_equal(message_receive(fds[1], text, sizeof text, got, &n, &err), 5);
    assert_int_equal(n, 2);
    assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fd_pread_full(got[1], text, 6, 0), 6);
    assert_memory_equal(text, "inside", 6);
    close(got[0]);
    close(got[1]);

    // Too many descriptors, too long: refused, nothing left open.
    int lowest = dup(0);
    close(lowest);
    n = 1;
    assert_int_equal(message_send(fds[0], "x", 1, send, 2, &err), 0);
    assert_int_equal(message_receive(fds[1], text, sizeof text, got, &n, &err), -EMSGSIZE);
    n = 4;
    assert_int_equal(message_send(fds[0], "0123456789", 10, send, 2, &err), 0);
    assert_int_equal(message_receive(fds[1], text, 9, got, &n, &err), -EMSGSIZE);
    assert_int_equal(n, 0);
    assert_int_equal(message_send(fds[0], "0123456789", 10, send, 1, &err), 0);
    assert_int_equal(message_receive(fds[1], text, sizeof text, NULL, NULL, &err), -EMSGSIZE);
    int again = dup(0);
    assert_int_equal(again, lowest);
    close(again);
    assert_int_equal(message_send(fds[0], "", 0, NULL, 0, &err), -EMSGSIZE);

    // A longest one.
    _cleanup_free_ char *big = calloc(1, MESSAGE_MAX_BYTES + 1);
    assert_int_equal(message_send(fds[0], big, MESSAGE_MAX_BYTES + 1, NULL, 0, &err), -EMSGSIZE);
    assert_int_equal(message_send(fds[0], big, MESSAGE_MAX_BYTES, NULL, 0, &err), 0);
    n = 4;
    assert_int_equal(message_receive(fds[1], big, MESSAGE_MAX_BYTES, got, &n, &err),
                     MESSAGE_MAX_BYTES);

    close(fds[0]);
    assert_int_equal(message_receive(fds[1], text, sizeof text, NULL, NULL, &err), 0);
    assert_int_equal(message_send(fds[1], "x", 1, NULL, 0, &err), -EPIPE);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_status),
        cmocka_unit_test(test_time_limit_kills_the_group),
        cmocka_unit_test(test_only_listed_descriptors_are_passed),
        cmocka_unit_test(test_messages_carry_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
