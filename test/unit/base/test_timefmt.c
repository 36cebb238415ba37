// test_timefmt.c - moments in all the forms that AWS uses.
#include "base/timefmt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#define MOMENT INT64_C(1767323045678) // 2026-01-02T03:04:05.678Z, a Friday

static void every_form(void **state)
{
    char t[TIMEFMT_BYTES];

    (void)state;
    assert_string_equal(timefmt_iso(MOMENT, t).ptr, "2026-01-02T03:04:05.678Z");
    assert_int_equal(timefmt_iso(MOMENT, t).len, 24);
    assert_string_equal(timefmt_iso_sec(MOMENT, t).ptr, "2026-01-02T03:04:05Z");
    assert_string_equal(timefmt_lambda(MOMENT, t).ptr, "2026-01-02T03:04:05.678+0000");
    assert_string_equal(timefmt_http(MOMENT, t).ptr, "Fri, 02 Jan 2026 03:04:05 GMT");
    assert_string_equal(timefmt_basic(MOMENT, t).ptr, "20260102T030405Z");
    assert_string_equal(timefmt_date(MOMENT, t).ptr, "20260102");
    assert_string_equal(timefmt_ymd(MOMENT, t).ptr, "2026/01/02");
    assert_string_equal(timefmt_access(MOMENT, t).ptr, "02/Jan/2026:03:04:05 +0000");
    assert_string_equal(timefmt_epoch(MOMENT, t).ptr, "1767323045.678");
    assert_string_equal(timefmt_epoch(1500, t).ptr, "1.5");
    assert_string_equal(timefmt_epoch(1050, t).ptr, "1.05");
    assert_string_equal(timefmt_epoch(-250, t).ptr, "-0.25");
    assert_string_equal(timefmt_epoch(0, t).ptr, "0");
    assert_string_equal(timefmt_epoch(INT64_MIN, t).ptr, "-9223372036854775.808");
    assert_string_equal(timefmt_iso(INT64_MIN, t).ptr, "0001-01-01T00:00:00.000Z");
    assert_string_equal(timefmt_iso(INT64_MAX, t).ptr, "9999-12-31T23:59:59.999Z");
    assert_string_equal(timefmt_iso(-1, t).ptr, "1969-12-31T23:59:59.999Z");
}

// Against the C library, across leap years and centuries.
static void the_calendar(void **state)
{
    (void)state;
    for (int64_t day = -719162; day < 2932896; day += 13) {
        int64_t ms = day * 86400000 + (day & 0xffff) * 777;
        time_t seconds = (time_t)(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
        struct timefmt_civil c;
        struct tm tm;
        timefmt_to_civil(ms, &c);
        gmtime_r(&seconds, &tm);
        if (c.year != tm.tm_year + 1900 || c.month != tm.tm_mon + 1 || c.day != tm.tm_mday ||
            c.hour != tm.tm_hour || c.minute != tm.tm_min || c.second != tm.tm_sec ||
            c.weekday != tm.tm_wday)
            fail_msg("%lld", (long long)ms);
        if (ms >= -62135596800000 && timefmt_from_civil(&c) != ms)
            fail_msg("back from %lld", (long long)ms);
    }
}

static void parsing(void **state)
{
    static const struct {
        bool (*parse)(struct str, int64_t *);
        const char *text;
        int64_t ms; // -1: refused
    } cases[] = {
        {timefmt_parse_iso, "2026-01-02T03:04:05.678Z", MOMENT},
        {timefmt_parse_iso, "2026-01-02T03:04:05.6789999Z", MOMENT},
        {timefmt_parse_iso, "2026-01-02t03:04:05z", MOMENT - 678},
        {timefmt_parse_iso, "2026-01-02 03:04:05Z", MOMENT - 678},
        {timefmt_parse_iso, "2026-01-02T05:04:05.678+02:00", MOMENT},
        {timefmt_parse_iso, "2026-01-01T21:34:05.678-0530", MOMENT},
        {timefmt_parse_iso, "2024-02-29T00:00:00Z", INT64_C(1709164800000)},
        {timefmt_parse_iso, "1970-01-01T00:00:00Z", 0},
        {timefmt_parse_iso, "2026-02-29T00:00:00Z", -1},
        {timefmt_parse_iso, "2026-13-01T00:00:00Z", -1},
        {timefmt_parse_iso, "2026-00-01T00:00:00Z", -1},
        {timefmt_parse_iso, "2026-01-00T00:00:00Z", -1},
        {timefmt_parse_iso, "2026-01-01T24:00:00Z", -1},
        {timefmt_parse_iso, "2026-01-01T00:60:00Z", -1},
        {timefmt_parse_iso, "2026-01-01T00:00:61Z", -1},
        {timefmt_parse_iso, "2026-01-01T00:00:00", -1},
        {timefmt_parse_iso, "2026-01-01T00:00:00.Z", -1},
        {timefmt_parse_iso, "2026-01-01T00:00:00Zx", -1},
        {timefmt_parse_iso, "2026-01-01T00:00:00+2:00", -1},
        {timefmt_parse_iso, "2026-01-01T00:00:00+24:00", -1},
        {timefmt_parse_iso, "2026-1-1T0:0:0Z", -1},
        {timefmt_parse_iso, "2026-01-01", -1},
        {timefmt_parse_iso, "", -1},
        {timefmt_parse_http, "Fri, 02 Jan 2026 03:04:05 GMT", MOMENT - 678},
        {timefmt_parse_http, "Fri, 02 Jan 2026 03:04:05.678 GMT", MOMENT},
        {timefmt_parse_http, "Foo, 02 Jan 2026 03:04:05 GMT", -1},
        {timefmt_parse_http, "Fri, 02 Jun 2026 03:04:05 UTC", -1},
        {timefmt_parse_http, "Fri, 02 jan 2026 03:04:05 GMT", -1},
        {timefmt_parse_http, "Fr", -1},
        {timefmt_parse_basic, "20260102T030405Z", MOMENT - 678},
        {timefmt_parse_basic, "20260102T030405", -1},
        {timefmt_parse_basic, "20260102 030405Z", -1},
        {timefmt_parse_basic, "20260230T030405Z", -1},
        {timefmt_parse_epoch, "1767323045.678", MOMENT},
        {timefmt_parse_epoch, "1.767323045678E9", MOMENT},
        {timefmt_parse_epoch, "0", 0},
        {timefmt_parse_epoch, "nan", -1},
        {timefmt_parse_epoch, "inf", -1},
        {timefmt_parse_epoch, "0x10", -1},
        {timefmt_parse_epoch, " 1", -1},
        {timefmt_parse_epoch, "", -1},
        {timefmt_parse_epoch, "1e99", -1},
        {timefmt_parse_epoch, "1-1", -1},
        {timefmt_parse_any, "20260102T030405Z", MOMENT - 678},
        {timefmt_parse_any, "1767323045.678", MOMENT},
        {timefmt_parse_any, "Fri, 02 Jan 2026 03:04:05 GMT", MOMENT - 678},
        {timefmt_parse_any, "yesterday", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = -1;
        bool ok = cases[i].parse(str_from(cases[i].text), &ms);
        if (ok != (cases[i].ms != -1) || ms != cases[i].ms)
            fail_msg("%s: %d, %lld", cases[i].text, ok, (long long)ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form),
        cmocka_unit_test(the_calendar),
        cmocka_unit_test(parsing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
