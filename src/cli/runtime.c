// runtime.c - `lambkin runtime install python|nodejs|java`: what functions find as on AWS.
//
// pip, npm and Maven of the host fetch it into DATA-DIR/runtime, which every sandbox sees read-only
// at /var/runtime: python/ (boto3) is on Python's path after the function's own, node_modules/ (AWS
// SDK) on Node.js's, java/ is AWS's runtime interface client, with an archive of its classes for
// each JDK of the host.
#include "base/cleanup.h"
#include "cli/args.h"
#include "cli/settings.h"
#include "cli/verb.h"
#include "os/file.h"
#include "os/spawn.h"
#include "runtime/files.h"
#include "sandbox/interpreters.h"

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

static int run_tool(char *const *argv, const char *cwd, struct err *err)
{
    const struct spawn s = {.path = argv[0], .argv = argv, .cwd = cwd};
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
    return run_tool((char *const *)words, NULL, err);
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
    return run_tool((char *const *)words, dir, err);
}

// What the transitive dependencies of AWS's client are is Maven's to know.
static const char java_project[] =
    "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\n"
    "<groupId>lambkin</groupId><artifactId>runtime</artifactId><version>1</version>\n"
    "<dependencies><dependency><groupId>com.amazonaws</groupId>"
    "<artifactId>aws-lambda-java-runtime-interface-client</artifactId>"
    "<version>2.6.0</version></dependency></dependencies></project>\n";

#define JAVA_FIRST_WITH_ARCHIVES 13 // JEP 350

// Runs the client once against a platform that is not there, and keeps the classes that it loaded:
// environments map them instead of reading and checking them. It stops with an error, which is
// meant; without an archive Java starts all the same, later.
static void archive_classes(const struct interpreter *java, const char *dir)
{
    char file[64];
    const char *words[] = {java->path,
                           file,
                           "-XX:+UseSerialGC",
                           "-Xlog:disable",
                           "-cp",
                           RUNTIME_JAVA_CLASS_PATH("../runtime"),
                           RUNTIME_JAVA_MAIN,
                           "java.util.HashMap::putAll", // a handler with a Map: loads the codecs
                           NULL};
    char *const env[] = {(char[]){"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"},
                         (char[]){"LAMBDA_TASK_ROOT=/nonexistent"}, (char[]){"PATH=/usr/bin:/bin"},
                         NULL};
    const struct spawn s = {
        .path = java->path, .argv = (char *const *)words, .envp = env, .cwd = dir};
    char path[4300];
    struct buf out;
    int status;

    snprintf(file, sizeof(file), "-XX:ArchiveClassesAtExit=" RUNTIME_JAVA_FOLDER "/%u.jsa",
             java->major);
    snprintf(path, sizeof(path), "%s/" RUNTIME_JAVA_FOLDER "/%u.jsa", dir, java->major);
    unlink(path);
    buf_init(&out, 1 << 20);
    spawn_run(&s, 60000, &out, &status, NULL);
    buf_finish(&out);
    if (access(path, R_OK) == 0 && chmod(path, 0644) == 0)
        printf("archived its classes for Java %s\n", java->version);
}

static int install_java(const char *dir, struct err *err)
{
    char target[4500], project[4400];
    struct interpreters found;
    const char *words[] = {"mvn",
                           "-B",
                           "-q",
                           "-f",
                           project,
                           "dependency:copy-dependencies",
                           "-Dstyle.color=never",
                           "-DincludeScope=runtime",
                           "-Dmdep.stripVersion=true",
                           target,
                           NULL};
    int r;

    snprintf(project, sizeof(project), "%s/" RUNTIME_JAVA_FOLDER, dir);
    snprintf(target, sizeof(target), "-DoutputDirectory=%s", project);
    r = mkdir_p(project, 0755, err);
    if (r < 0)
        return r;
    snprintf(project, sizeof(project), "%s/" RUNTIME_JAVA_FOLDER "/pom.xml", dir);
    r = write_file_atomic(project, str_from(java_project), 0644, err);
    if (r < 0)
        return r;
    printf("fetching AWS's runtime interface client into %s/" RUNTIME_JAVA_FOLDER "\n", dir);
    fflush(stdout);
    r = run_tool((char *const *)words, dir, err);
    if (r < 0)
        return err_wrap(err, "Maven is needed (Debian's package `maven`)");
    interpreters_find(&found);
    for (unsigned i = 0; i < found.n; i++)
        if (found.list[i].kind == INTERPRETER_JAVA &&
            found.list[i].major >= JAVA_FIRST_WITH_ARCHIVES)
            archive_classes(&found.list[i], dir);
    return 0;
}

static const struct language {
    const char *name;
    int (*install)(const char *dir, struct err *err);
} languages[] = {{"python", install_python}, {"nodejs", install_nodejs}, {"java", install_java}};

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
