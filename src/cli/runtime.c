// runtime.c - `lambkin runtime install python|nodejs|java`: what functions find as on AWS.
//
// pip, npm and Maven of the host fetch it into DATA-DIR/runtime, which every sandbox sees read-only
// at /var/runtime: python/ (boto3) is on Python's path after the function's own, node_modules/ (AWS
// SDK) on Node.js's; java/ is runtime_java.c's.
#include "base/cleanup.h"
#include "cli/args.h"
#include "cli/runtime_install.h"
#include "cli/settings.h"
#include "cli/verb.h"
#include "os/file.h"
#include "os/spawn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS (20 * 60 * 1000)
#define MAX_WORDS 40

// What AWS's Node.js runtimes bring are all clients; these are the ones that Lambkin answers, and
// those that functions use most beside them.
static const char *const node_packages[] = {
    "@aws-sdk/client-lambda",     "@aws-sdk/client-sqs",
    "@aws-sdk/client-sts",        "@aws-sdk/client-iam",
    "@aws-sdk/client-s3",         "@aws-sdk/client-dynamodb",
    "@aws-sdk/client-sns",        "@aws-sdk/client-eventbridge",
    "@aws-sdk/lib-dynamodb",      "@aws-sdk/client-cloudwatch-logs",
    "@aws-sdk/util-dynamodb",     "@aws-sdk/client-ssm",
    "@aws-sdk/client-kinesis",    "@aws-sdk/client-secrets-manager",
    "@aws-sdk/client-cloudwatch", "@aws-sdk/client-apigatewaymanagementapi",
};

int runtime_run_tool(const char *const *argv, const char *cwd, struct err *err)
{
    const struct spawn s = {.path = argv[0], .argv = (char *const *)argv, .cwd = cwd};
    pid_t pid;
    int status, r;

    r = spawn_start(&s, &pid, err);
    if (r < 0)
        return err_wrap(err, "run %s", argv[0]);
    r = spawn_wait(pid, LIMIT_MS, &status);
    if (r < 0)
        return err_set(err, r, "%s did not end", argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, -EIO, "%s failed", argv[0]);
    return 0;
}

static int install_python(const char *dir, struct err *err)
{
    char target[4300];
    const char *words[] = {"python3",
                           "-m",
                           "pip",
                           "install",
                           "--quiet",
                           "--root-user-action=ignore",
                           "--disable-pip-version-check",
                           "--no-warn-conflicts",
                           "--upgrade",
                           "--target",
                           target,
                           "boto3",
                           NULL};

    snprintf(target, sizeof(target), "%s/python", dir);
    printf("fetching boto3 into %s\n", target);
    fflush(stdout);
    return runtime_run_tool(words, NULL, err);
}

static int install_nodejs(const char *dir, struct err *err)
{
    char prefix[4300];
    const char *words[MAX_WORDS] = {"npm",       "install",  "--no-audit",        "--no-fund",
                                    "--no-save", "--silent", "--no-package-lock", "--prefix",
                                    prefix};
    unsigned n = 9;

    snprintf(prefix, sizeof(prefix), "%s", dir);
    for (size_t i = 0; i < ARRAY_LEN(node_packages); i++)
        words[n++] = node_packages[i];
    printf("fetching %zu clients of @aws-sdk into %s/node_modules\n", ARRAY_LEN(node_packages),
           dir);
    fflush(stdout);
    return runtime_run_tool(words, dir, err);
}

static const struct language {
    const char *name;
    int (*install)(const char *dir, struct err *err);
} languages[] = {
    {"python", install_python}, {"nodejs", install_nodejs}, {"java", runtime_install_java}};

static const struct language *find_language(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(languages); i++)
        if (strcmp(name, languages[i].name) == 0)
            return &languages[i];
    return NULL;
}

static int install(const struct language *language, const char *data_dir, struct err *err)
{
    _cleanup_(config_destroyp) struct config *c = NULL;
    char dir[4200];
    const char *flags[] = {"--data-dir", data_dir};
    int r;

    r = settings_load(data_dir ? 2 : 0, (char **)flags, &c, err);
    if (r < 0)
        return r;
    if ((size_t)snprintf(dir, sizeof(dir), "%s/runtime", config_cstr(c, "data-dir")) >= sizeof(dir))
        return err_set(err, -ENAMETOOLONG, "the path of the data directory is too long");
    umask(022); // functions run as other users and read it
    r = mkdir_p(dir, 0755, err);
    if (r < 0)
        return r;
    r = language->install(dir, err);
    if (r == 0)
        printf("done; new environments find it\n");
    return r;
}

int runtime_main(int argc, char **argv)
{
    const char *data_dir = NULL;
    const struct arg table[] = {{.name = "--data-dir", .value = &data_dir}};
    struct arg_words words;
    struct err err = ERR_INIT;

    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        return EXIT_USAGE;
    }
    if (words.n != 2 || strcmp(words.words[0], "install") != 0 || !find_language(words.words[1]))
        return cli_verb_usage("runtime", EXIT_USAGE);
    return install(find_language(words.words[1]), data_dir, &err) < 0 ? cli_fail(&err) : EXIT_FINE;
}
