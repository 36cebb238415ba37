// timefmt.c - the civil calendar by arithmetic, and the textual forms that AWS uses.
//
// Days are counted in the proleptic Gregorian calendar from eras of 400 years that begin on the
// first of March, so that the leap day comes last.
#include "timefmt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MS_PER_DAY INT64_C(86400000)
#define MIN_MS INT64_C(-62135596800000) // 0001-01-01T00:00:00.000Z
#define MAX_MS INT64_C(253402300799999) // 9999-12-31T23:59:59.999Z

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

void timefmt_to_civil(int64_t ms, struct timefmt_civil *out)
{
    int64_t days, rest, z, era, doe, yoe, doy, mp;

    ms = ms < MIN_MS ? MIN_MS : ms > MAX_MS ? MAX_MS : ms;
    days = floor_div(ms, MS_PER_DAY);
    rest = ms - days * MS_PER_DAY;
    z = days + 719468; // days since 0000-03-01
    era = floor_div(z, 146097);
    doe = z - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;
    out->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    out->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    out->year = (int)(yoe + era * 400 + (out->month <= 2));
    out->weekday = (int)(((days + 4) % 7 + 7) % 7);
    out->hour = (int)(rest / 3600000);
    out->minute = (int)(rest / 60000 % 60);
    out->second = (int)(rest / 1000 % 60);
    out->ms = (int)(rest % 1000);
}

int64_t timefmt_from_civil(const struct timefmt_civil *c)
{
    int64_t y = c->year - (c->month <= 2), era = floor_div(y, 400), yoe = y - era * 400;
    int64_t doy = (153 * (c->month + (c->month > 2 ? -3 : 9)) + 2) / 5 + c->day - 1;
    int64_t days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;

    return ((days * 24 + c->hour) * 60 + c->minute) * 60000 + c->second * INT64_C(1000) + c->ms;
}

// --- formatting ---

// The fields are in range after timefmt_to_civil; the compiler is told so, for its warnings.
#define F(x, n) ((unsigned)(x) % (n))
#define YEAR F(c.year, 10000)
#define DATE YEAR, F(c.month, 100), F(c.day, 100)
#define CLOCK F(c.hour, 100), F(c.minute, 100), F(c.second, 100)
#define FORMAT(...)                                                                                \
    struct timefmt_civil c;                                                                        \
    int n;                                                                                         \
    timefmt_to_civil(ms, &c);                                                                      \
    n = snprintf(out, TIMEFMT_BYTES, __VA_ARGS__);                                                 \
    return (struct str)                                                                            \
    {                                                                                              \
        out, (size_t)n                                                                             \
    }

struct str timefmt_iso(int64_t ms, char out[static TIMEFMT_BYTES])
{
    FORMAT("%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", DATE, CLOCK, F(c.ms, 1000));
}

struct str timefmt_iso_sec(int64_t ms, char out[static TIMEFMT_BYTES])
{
    FORMAT("%04u-%02u-%02uT%02u:%02u:%02uZ", DATE, CLOCK);
}

struct str timefmt_lambda(int64_t ms, char out[static TIMEFMT_BYTES])
{
    FORMAT("%04u-%02u-%02uT%02u:%02u:%02u.%03u+0000", DATE, CLOCK, F(c.ms, 1000));
}

struct str timefmt_http(int64_t ms, char out[static TIMEFMT_BYTES])
{
    FORMAT("%s, %02u %s %04u %02u:%02u:%02u GMT", weekdays[F(c.weekday, 7)], F(c.day, 100),
           months[F(c.month - 1, 12)], YEAR, CLOCK);
}

struct str timefmt_basic(int64_t ms, char out[static TIMEFMT_BYTES])
{
    FORMAT("%04u%02u%02uT%02u%02u%02uZ", DATE, CLOCK);
}

struct str timefmt_date(int64_t ms, char out[static TIMEFMT_BYTES])
{
    FORMAT("%04u%02u%02u", DATE);
}

struct str timefmt_ymd(int64_t ms, char out[static TIMEFMT_BYTES])
{
    FORMAT("%04u/%02u/%02u", DATE);
}

struct str timefmt_access(int64_t ms, char out[static TIMEFMT_BYTES])
{
    FORMAT("%02u/%s/%04u:%02u:%02u:%02u +0000", F(c.day, 100), months[F(c.month - 1, 12)], YEAR,
           CLOCK);
}

struct str timefmt_epoch(int64_t ms, char out[static TIMEFMT_BYTES])
{
    uint64_t size = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    const char *sign = ms < 0 ? "-" : "";
    unsigned rest = (unsigned)(size % 1000);
    int n;

    if (rest == 0) {
        n = snprintf(out, TIMEFMT_BYTES, "%s%llu", sign, (unsigned long long)(size / 1000));
    } else {
        n = snprintf(out, TIMEFMT_BYTES, "%s%llu.%03u", sign, (unsigned long long)(size / 1000),
                     rest);
        while (out[n - 1] == '0')
            out[--n] = '\0';
    }
    return (struct str){out, (size_t)n};
}

// --- parsing ---

// Exactly n digits off the front.
static bool take_digits(struct str *s, unsigned n, int *out)
{
    int v = 0;

    if (s->len < n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        unsigned d = (unsigned)(unsigned char)s->ptr[i] - '0';
        if (d > 9)
            return false;
        v = v * 10 + (int)d;
    }
    *s = str_slice(*s, n, s->len);
    *out = v;
    return true;
}

static bool take_char(struct str *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = str_slice(*s, 1, s->len);
    return true;
}

static bool take_month(struct str *s, int *out)
{
    for (int m = 0; m < 12; m++) {
        if (str_starts(*s, str_from(months[m]))) {
            *s = str_slice(*s, 3, s->len);
            *out = m + 1;
            return true;
        }
    }
    return false;
}

static bool in_range(const struct timefmt_civil *c)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);

    // A leap second (60) is let through and becomes the next minute's first.
    return c->year >= 1 && c->month >= 1 && c->month <= 12 && c->day >= 1 &&
           c->day <= lengths[c->month - 1] + (leap && c->month == 2) && c->hour <= 23 &&
           c->minute <= 59 && c->second <= 60;
}

// The fraction after its point: at least one digit, cut to milliseconds.
static bool take_fraction(struct str *s, int *ms)
{
    int scale = 100, digit;

    *ms = 0;
    if (!take_digits(s, 1, &digit))
        return false;
    do {
        *ms += digit * scale;
        scale /= 10;
    } while (take_digits(s, 1, &digit));
    return true;
}

// Z, +hh:mm or +hhmm, to the end.
static bool take_zone(struct str *s, int *minutes)
{
    int sign, h, m;

    *minutes = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return s->len == 0;
    if (s->len == 0 || (s->ptr[0] != '+' && s->ptr[0] != '-'))
        return false;
    sign = s->ptr[0] == '-' ? -1 : 1;
    *s = str_slice(*s, 1, s->len);
    if (!take_digits(s, 2, &h))
        return false;
    take_char(s, ':');
    if (!take_digits(s, 2, &m) || s->len != 0 || h > 23 || m > 59)
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

bool timefmt_parse_iso(struct str s, int64_t *ms)
{
    struct timefmt_civil c = {0};
    int zone;

    if (!take_digits(&s, 4, &c.year) || !take_char(&s, '-') || !take_digits(&s, 2, &c.month) ||
        !take_char(&s, '-') || !take_digits(&s, 2, &c.day) ||
        !(take_char(&s, 'T') || take_char(&s, 't') || take_char(&s, ' ')) ||
        !take_digits(&s, 2, &c.hour) || !take_char(&s, ':') || !take_digits(&s, 2, &c.minute) ||
        !take_char(&s, ':') || !take_digits(&s, 2, &c.second))
        return false;
    if (take_char(&s, '.') && !take_fraction(&s, &c.ms))
        return false;
    if (!take_zone(&s, &zone) || !in_range(&c))
        return false;
    *ms = timefmt_from_civil(&c) - zone * INT64_C(60000);
    return true;
}

bool timefmt_parse_http(struct str s, int64_t *ms)
{
    struct timefmt_civil c = {0};
    bool known = false;

    for (size_t d = 0; d < 7; d++)
        known = known || str_starts(s, str_from(weekdays[d]));
    s = str_slice(s, 3, s.len);
    if (!known || !take_char(&s, ',') || !take_char(&s, ' ') || !take_digits(&s, 2, &c.day) ||
        !take_char(&s, ' ') || !take_month(&s, &c.month) || !take_char(&s, ' ') ||
        !take_digits(&s, 4, &c.year) || !take_char(&s, ' ') || !take_digits(&s, 2, &c.hour) ||
        !take_char(&s, ':') || !take_digits(&s, 2, &c.minute) || !take_char(&s, ':') ||
        !take_digits(&s, 2, &c.second))
        return false;
    // Smithy's http-date allows decimals.
    if (take_char(&s, '.') && !take_fraction(&s, &c.ms))
        return false;
    if (!str_eq(s, STR(" GMT")) || !in_range(&c))
        return false;
    *ms = timefmt_from_civil(&c);
    return true;
}

bool timefmt_parse_basic(struct str s, int64_t *ms)
{
    struct timefmt_civil c = {0};

    if (s.len != 16 || !take_digits(&s, 4, &c.year) || !take_digits(&s, 2, &c.month) ||
        !take_digits(&s, 2, &c.day) || !take_char(&s, 'T') || !take_digits(&s, 2, &c.hour) ||
        !take_digits(&s, 2, &c.minute) || !take_digits(&s, 2, &c.second) || !take_char(&s, 'Z') ||
        !in_range(&c))
        return false;
    *ms = timefmt_from_civil(&c);
    return true;
}

bool timefmt_parse_epoch(struct str s, int64_t *ms)
{
    char text[64], *end;
    double seconds;

    // strtod also reads "inf", "nan", hexadecimal and leading white space.
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];
        if (!(ch >= '0' && ch <= '9') && ch != '.' && ch != '-' && ch != '+' && ch != 'e' &&
            ch != 'E')
            return false;
        text[i] = ch;
    }
    text[s.len] = '\0';
    seconds = strtod(text, &end);
    if (end != text + s.len || !(fabs(seconds) < 1e15))
        return false;
    *ms = llround(seconds * 1000);
    return true;
}

bool timefmt_parse_any(struct str s, int64_t *ms)
{
    return timefmt_parse_iso(s, ms) || timefmt_parse_epoch(s, ms) || timefmt_parse_http(s, ms) ||
           timefmt_parse_basic(s, ms);
}
