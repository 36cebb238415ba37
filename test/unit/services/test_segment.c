// test_segment.c - log segments: what is written is read back, and a torn tail is cut off.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/fd.h"
#include "services/logs/segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
    int fd;
};

static int make_folder(void **state)
{
    static struct folder f;
    snprintf(f.path, sizeof(f.path), "/tmp/lambkin-segment-XXXXXX");
    assert_non_null(mkdtemp(f.path));
    f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &f;
    return f.fd < 0;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;
    unlinkat(f->fd, "00000001.seg", 0);
    close(f->fd);
    return rmdir(f->path);
}

static void save(const struct folder *f, struct str bytes)
{
    int fd = openat(f->fd, "00000001.seg", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, bytes.ptr, bytes.len), 0);
    close(fd);
}

static void fill(struct buf *b)
{
    buf_init(b, 1 << 20);
    segment_put_group(b, 1000, STR("000000000000"), STR("us-east-1"), STR("/aws/lambda/x"));
    segment_put_stream(b, 7, 1001, STR("stream"));
    for (int i = 0; i < 5; i++)
        segment_put_event(b, 7, 2000 + i, 3000 + i, STR("hello\nworld"));
    segment_put_event(b, 7, 4000, 4001, STR(""));
    segment_put_dropped(b, 7);
    assert_false(b->failed);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct buf b;
    struct segment_record r;
    size_t at = 0;
    fill(&b);
    assert_true(segment_next(buf_str(&b), &at, true, &r));
    assert_int_equal(r.type, SEGMENT_GROUP);
    assert_true(str_eq(r.account, STR("000000000000")));
    assert_true(str_eq(r.region, STR("us-east-1")));
    assert_true(str_eq(r.text, STR("/aws/lambda/x")));
    assert_true(segment_next(buf_str(&b), &at, true, &r));
    assert_int_equal(r.type, SEGMENT_STREAM);
    assert_true(str_eq(r.text, STR("stream")));
    for (int i = 0; i < 5; i++) {
        assert_true(segment_next(buf_str(&b), &at, true, &r));
        assert_int_equal(r.type, SEGMENT_EVENT);
        assert_int_equal(r.stream_id, 7);
        assert_int_equal(r.time_ms, 2000 + i);
        assert_int_equal(r.ingested_ms, 3000 + i);
        assert_true(str_eq(r.text, STR("hello\nworld")));
    }
    assert_true(segment_next(buf_str(&b), &at, true, &r));
    assert_int_equal(r.text.len, 0);
    assert_true(segment_next(buf_str(&b), &at, true, &r));
    assert_int_equal(r.type, SEGMENT_DROPPED);
    assert_false(segment_next(buf_str(&b), &at, true, &r));
    assert_int_equal(at, b.len);
    buf_finish(&b);
}

// Cut anywhere: what is whole stays, the rest goes, and the file can be appended to.
static void test_torn_everywhere(void **state)
{
    struct folder *f = *state;
    struct buf b;
    fill(&b);
    for (size_t cut = 0; cut <= b.len; cut++) {
        struct segment_record r;
        size_t sound = 0, size = 999, at = 0;
        while (segment_next(str_slice(buf_str(&b), 0, cut), &at, true, &r))
            sound = at;
        save(f, str_slice(buf_str(&b), 0, cut));
        assert_int_equal(segment_recover(f->fd, "00000001.seg", &size, NULL), 0);
        assert_int_equal(size, sound);
        struct stat st;
        assert_int_equal(fstatat(f->fd, "00000001.seg", &st, 0), 0);
        assert_int_equal(st.st_size, sound);
    }
    buf_finish(&b);
}

// A flipped bit anywhere: never more records than before it, never a crash.
static void test_flipped_bits(void **state)
{
    struct folder *f = *state;
    struct buf b;
    fill(&b);
    for (size_t i = 0; i < b.len; i++) {
        size_t size = 0;
        b.ptr[i] ^= 0x10;
        save(f, buf_str(&b));
        assert_int_equal(segment_recover(f->fd, "00000001.seg", &size, NULL), 0);
        assert_true(size <= i);
        b.ptr[i] ^= 0x10;
    }
    buf_finish(&b);
}

static void test_names(void **state)
{
    (void)state;
    char name[SEGMENT_NAME_BYTES];
    uint32_t n;
    segment_name(0xab12, name);
    assert_string_equal(name, "0000ab12.seg");
    assert_true(segment_name_parse(name, &n));
    assert_int_equal(n, 0xab12);
    assert_false(segment_name_parse("x", &n));
    assert_false(segment_name_parse("0000AB12.seg", &n));
    assert_false(segment_name_parse("0000ab12.tmp", &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test_setup_teardown(test_torn_everywhere, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_flipped_bits, make_folder, remove_folder),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
