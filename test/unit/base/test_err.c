// test_err.c - errors: codes, context, clean cuts.
#include "base/err.h"
#include "base/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static const struct aws_error not_found = {"ResourceNotFoundException", NULL, 404, true};

static void codes_and_messages(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(err_set(&err, -ENOENT, "no %s", "thing"), -ENOENT);
    assert_int_equal(err.code, -ENOENT);
    assert_string_equal(err.message, "no thing");
    assert_int_equal(err_wrap(&err, "loading %d", 7), -ENOENT);
    assert_string_equal(err.message, "loading 7: no thing");
    assert_int_equal(err_errno(&err, ENOENT, "open %s", "/x"), -ENOENT);
    assert_string_equal(err.message, "open /x: No such file or directory");
    assert_int_equal(err_aws(&err, &not_found, "Function not found: %s", "f"), -EBADMSG);
    assert_ptr_equal(err.aws, &not_found);
    assert_int_equal(err_wrap(&err, "context"), -EBADMSG);
    assert_string_equal(err.message, "Function not found: f"); // for the client, as it is
    err_set(&err, -EIO, "other");
    assert_null(err.aws);
}

static void fields_are_bounded(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    err_aws(&err, &not_found, "x");
    for (int i = 0; i < ERR_MAX_FIELDS + 3; i++)
        err_field(&err, "Reason", "%d", i);
    assert_int_equal(err.n_fields, ERR_MAX_FIELDS);
    assert_string_equal(err.fields[1].value, "1");
    err_aws(&err, &not_found, "y");
    assert_int_equal(err.n_fields, 0);
}

static void nobody_wants_to_know(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
    assert_int_equal(err_aws(NULL, &not_found, "x"), -EBADMSG);
    assert_int_equal(err_errno(NULL, ENOMEM, "x"), -ENOMEM);
    assert_true(err_wrap(NULL, "x") < 0);
    err_field(NULL, "a", "b");
}

// Whatever the length, the message is valid UTF-8 and at most one character shorter than it might
// be.
static void cuts_are_clean(void **state)
{
    struct err err = ERR_INIT;
    char text[2 * ERR_MESSAGE_BYTES];

    (void)state;
    for (size_t lead = 0; lead < 8; lead++) {
        size_t n = lead;
        memset(text, 'a', lead);
        while (n + 5 < sizeof(text)) {
            memcpy(text + n, n % 3 ? "\xf0\x9f\x90\x91" : "\xe2\x82\xac", 4);
            n += n % 3 ? 4 : 3;
        }
        text[n] = '\0';
        err_set(&err, -EIO, "%s", text);
        assert_true(utf8_valid(str_from(err.message)));
        assert_true(strlen(err.message) >= ERR_MESSAGE_BYTES - 4);
        err_set(&err, -EIO, "%.400s", text);
        err_wrap(&err, "%.*s", (int)(200 + lead), text);
        assert_true(strlen(err.message) < ERR_MESSAGE_BYTES);
        err_field(&err, "f", "%s", text);
        assert_true(utf8_valid(str_from(err.fields[0].value)));
        err_errno(&err, ENOENT, "%s", text);
        assert_true(utf8_valid(str_from(err.message)));
    }
    // What is not UTF-8 is only cut.
    memset(text, '\x80', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    err_set(&err, -EIO, "%s", text);
    assert_int_equal(strlen(err.message), ERR_MESSAGE_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_and_messages),
        cmocka_unit_test(fields_are_bounded),
        cmocka_unit_test(nobody_wants_to_know),
        cmocka_unit_test(cuts_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
