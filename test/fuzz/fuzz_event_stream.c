// fuzz_event_stream.c - frames of any kind; one that is read is as long as it says.
#include "fuzz.h"
#include "wire/event_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct event_stream_message m;
    struct err err = ERR_INIT;
    ptrdiff_t n;

    while ((n = event_stream_read(in, &m, &err)) > 0) {
        FUZZ_CHECK((size_t)n <= in.len);
        FUZZ_CHECK(m.payload.len < (size_t)n);
        in = str_slice(in, (size_t)n, in.len);
    }
    return 0;
}
