// timefmt.h - moments as text and back. Milliseconds since the epoch, UTC, no system calls.
//
// Years 1 to 9999; formatting clamps what lies outside. Parsers answer false and leave *ms alone
// when the text is not exactly of their form.
#ifndef LAMBKIN_BASE_TIMEFMT_H
#define LAMBKIN_BASE_TIMEFMT_H

#include "str.h"

#define TIMEFMT_BYTES 40 // enough for any of them with its NUL

struct timefmt_civil {
    int year, month, day; // month and day from 1
    int hour, minute, second, ms;
    int weekday; // 0 is Sunday
};

void timefmt_to_civil(int64_t ms, struct timefmt_civil *out);
// Does not check the fields.
int64_t timefmt_from_civil(const struct timefmt_civil *c);

// Each answers `out` as a string.
struct str timefmt_iso(int64_t ms, char out[static TIMEFMT_BYTES]);     // 2026-01-02T03:04:05.678Z
struct str timefmt_iso_sec(int64_t ms, char out[static TIMEFMT_BYTES]); // 2026-01-02T03:04:05Z
struct str timefmt_lambda(int64_t ms,
                          char out[static TIMEFMT_BYTES]); // 2026-01-02T03:04:05.678+0000
struct str timefmt_http(int64_t ms,
                        char out[static TIMEFMT_BYTES]); // Fri, 02 Jan 2026 03:04:05 GMT
struct str timefmt_basic(int64_t ms, char out[static TIMEFMT_BYTES]);  // 20260102T030405Z
struct str timefmt_date(int64_t ms, char out[static TIMEFMT_BYTES]);   // 20260102
struct str timefmt_ymd(int64_t ms, char out[static TIMEFMT_BYTES]);    // 2026/01/02
struct str timefmt_access(int64_t ms, char out[static TIMEFMT_BYTES]); // 02/Jan/2026:03:04:05 +0000
// Seconds, with as many decimals as are not zero: 1767323045.678
struct str timefmt_epoch(int64_t ms, char out[static TIMEFMT_BYTES]);

// RFC 3339: 'T' or a space, any number of decimals (cut to ms), Z or +hh:mm or +hhmm.
bool timefmt_parse_iso(struct str s, int64_t *ms);
bool timefmt_parse_http(struct str s, int64_t *ms);  // RFC 9110's preferred form
bool timefmt_parse_basic(struct str s, int64_t *ms); // 20260102T030405Z
bool timefmt_parse_epoch(struct str s, int64_t *ms); // seconds, decimals, exponent
// An AWS timestamp in a string, in whichever of these forms.
bool timefmt_parse_any(struct str s, int64_t *ms);

#endif
