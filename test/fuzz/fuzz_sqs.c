// fuzz_sqs.c - receipt handles, and the stored encoding of message attributes.
#include "fuzz.h"

#include "services/sqs/sqs_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size), again;
    struct arena a = {0};
    struct sqs_receipt receipt;
    struct sqs_attribute *attributes;
    size_t n;
    arena_init(&a, 1 << 20);
    if (sqs_receipt_parse(&a, in, &receipt)) {
        again = sqs_receipt_make(&a, &receipt);
        FUZZ_CHECK(str_eq(again, in));
    }
    if (sqs_attributes_decode(&a, in, &attributes, &n) == 0)
        FUZZ_CHECK(n <= SQS_MAX_ATTRIBUTES &&
                   sqs_attributes_encode(&a, attributes, n, &again) == 0);
    sqs_text_allowed(in);
    arena_finish(&a);
    return 0;
}
