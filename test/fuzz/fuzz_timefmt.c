// fuzz_timefmt.c - a time that is understood is written and understood the same.
#include "base/timefmt.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    char text[TIMEFMT_BYTES];
    int64_t ms, again;

    if (timefmt_parse_any(in, &ms)) {
        struct timefmt_civil c;
        timefmt_to_civil(ms, &c);
        // Outside of the years 1 to 9999 formatting clamps.
        if (ms >= -INT64_C(62135596800000) && ms <= INT64_C(253402300799999)) {
            FUZZ_CHECK(timefmt_from_civil(&c) == ms);
            FUZZ_CHECK(timefmt_parse_iso(timefmt_iso(ms, text), &again) && again == ms);
        }
        FUZZ_CHECK(timefmt_http(ms, text).len == 29);
        FUZZ_CHECK(timefmt_access(ms, text).len == 26);
    }
    return 0;
}
