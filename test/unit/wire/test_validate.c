// test_validate.c - broken constraints and AWS's messages for them.
#include "wire/gen/iam.h"
#include "wire/gen/lambda.h"
#include "wire/gen/logs.h"
#include "wire/gen/sqs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static int check(const struct wire_service *s, const char *operation, const void *in,
                 struct err *err)
{
    const struct wire_operation *op = wire_operation_named(s, str_from(operation));

    *err = (struct err)ERR_INIT;
    assert_non_null(op);
    return wire_validate(op, in, &arena, err);
}

static void good_input(void **state)
{
    struct lambda_function_code code = {.zip_file = STR("PK")};
    struct lambda_create_function_in f = {
        .function_name = STR("arn:aws:lambda:us-east-1:000000000000:function:f"),
        .role = STR("arn:aws:iam::000000000000:role/r"),
        .code = &code,
        .handler = STR("app.handler"),
        .runtime = STR("python3.12"),
    };
    struct err err;

    (void)state;
    if (check(&wire_lambda, "CreateFunction", &f, &err) != 0)
        fail_msg("%s", err.message);
}

static void missing_members(void **state)
{
    struct lambda_create_function_in f = {.function_name = STR("f")};
    struct sqs_send_message_in m = {.queue_url = STR("q")};
    struct err err;

    (void)state;
    assert_int_equal(check(&wire_lambda, "CreateFunction", &f, &err), -EBADMSG);
    assert_string_equal(err.aws->code, "ValidationException");
    assert_string_equal(
        err.message, "2 validation errors detected: Value null at 'role' failed to satisfy "
                     "constraint: Member must not be null; Value null at 'code' failed to satisfy "
                     "constraint: Member must not be null");
    assert_int_equal(check(&wire_sqs, "SendMessage", &m, &err), -EBADMSG);
    assert_string_equal(err.aws->code, "MissingParameter");
    assert_string_equal(err.message, "The request must contain the parameter MessageBody.");
}

static void patterns_and_ranges(void **state)
{
    struct lambda_get_function_in g = {.function_name = STR("a b")};
    struct lambda_update_function_configuration_in u = {.function_name = STR("f")};
    struct err err;

    (void)state;
    assert_int_equal(check(&wire_lambda, "GetFunction", &g, &err), -EBADMSG);
    assert_non_null(strstr(err.message,
                           "1 validation error detected: Value 'a b' at 'functionName' failed to "
                           "satisfy constraint: Member must satisfy regular expression pattern: "));
    WIRE_SET(&u, memory_size, 64);
    assert_int_equal(check(&wire_lambda, "UpdateFunctionConfiguration", &u, &err), -EBADMSG);
    assert_string_equal(err.message,
                        "1 validation error detected: Value '64' at 'memorySize' failed to satisfy "
                        "constraint: Member must have value greater than or equal to 128");
}

static void lengths_and_enumerations(void **state)
{
    static char long_name[600];
    struct lambda_create_alias_in a = {
        .function_name = STR("f"), .name = STR("x"), .function_version = STR("1")};
    struct str architectures[] = {STR("mips")};
    struct lambda_update_function_code_in u = {.function_name = STR("f"),
                                               .architectures = {architectures, 1}};
    struct err err;

    (void)state;
    memset(long_name, 'a', sizeof(long_name));
    a.name = (struct str){long_name, 200};
    assert_int_equal(check(&wire_lambda, "CreateAlias", &a, &err), -EBADMSG);
    assert_non_null(strstr(err.message,
                           "at 'name' failed to satisfy constraint: Member must have length less "
                           "than or equal to 128"));
    assert_int_equal(check(&wire_lambda, "UpdateFunctionCode", &u, &err), -EBADMSG);
    assert_string_equal(
        err.message,
        "1 validation error detected: Value 'mips' at 'architectures.1.member' failed to "
        "satisfy constraint: Member must satisfy enum value set: [x86_64, arm64]");
}

static void of_other_services(void **state)
{
    struct logs_create_log_group_in l = {.log_group_name = STR("a b")};
    struct iam_create_role_in r = {.role_name = STR("r"), .assume_role_policy_document = STR("{}")};
    struct err err;

    (void)state;
    assert_int_equal(check(&wire_logs, "CreateLogGroup", &l, &err), -EBADMSG);
    assert_ptr_equal(err.aws, &LOGS_INVALID_PARAMETER_EXCEPTION);
    assert_int_equal(check(&wire_iam, "CreateRole", &r, &err), 0);
    r.role_name = STR("no/slash");
    assert_int_equal(check(&wire_iam, "CreateRole", &r, &err), -EBADMSG);
    assert_string_equal(err.aws->code, "ValidationError");
}

static void secrets_are_not_repeated(void **state)
{
    static char long_value[70000];
    struct lambda_environment_variables_entry e = {STR("0bad key"), {long_value, 4}};
    struct lambda_environment env = {{&e, 1}};
    struct lambda_update_function_configuration_in u = {.function_name = STR("f"),
                                                        .environment = &env};
    struct err err;

    (void)state;
    assert_int_equal(check(&wire_lambda, "UpdateFunctionConfiguration", &u, &err), -EBADMSG);
    assert_null(strstr(err.message, "0bad"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_input),          cmocka_unit_test(missing_members),
        cmocka_unit_test(patterns_and_ranges), cmocka_unit_test(lengths_and_enumerations),
        cmocka_unit_test(of_other_services),   cmocka_unit_test(secrets_are_not_repeated),
    };
    int r;

    arena_init(&arena, 1 << 24);
    r = cmocka_run_group_tests_name("validate", tests, NULL, NULL);
    arena_finish(&arena);
    return r;
}
