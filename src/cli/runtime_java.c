// runtime_java.c - `lambkin runtime install java`: AWS's client, our bootstrap, archives of
// classes.
//
// Java sources are compiled here rather than when Lambkin is built, because the host that builds it
// need not have a JDK. What they need at run time, in DATA-DIR/runtime/java:
// bootstrap-<version>.jar, process.so, the three jars of AWS's, warm/ (a function to warm up with)
// and <major>.jsa for each JDK.

#include "base/cleanup.h"
#include "cli/runtime_install.h"
#include "os/file.h"
#include "os/spawn.h"
#include "runtime/files.h"
#include "sandbox/interpreters.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_WORDS 24
#define FIRST_WITH_ARCHIVES 13 // JEP 350
#define FIRST_WITH_RELEASE 9   // javac --release
#define OLDEST_MODERN 11       // what functions are usually compiled for, at least

// What the transitive dependencies of AWS's client are is Maven's to know.
static const char java_project[] =
    "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\n"
    "<groupId>lambkin</groupId><artifactId>runtime</artifactId><version>1</version>\n"
    "<dependencies><dependency><groupId>com.amazonaws</groupId>"
    "<artifactId>aws-lambda-java-runtime-interface-client</artifactId>"
    "<version>2.6.0</version></dependency></dependencies></project>\n";

static int path_of(char to[static PATH_MAX], const char *dir, const char *name, struct err *err)
{
    if (snprintf(to, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "the path of the data directory is too long");
    return 0;
}

static int fetch_client(const char *dir, struct err *err)
{
    char target[PATH_MAX + 32], project[PATH_MAX];
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
    int r = path_of(project, dir, "pom.xml", err);

    if (r == 0)
        r = write_file_atomic(project, str_from(java_project), 0644, err);
    if (r < 0)
        return r;
    snprintf(target, sizeof(target), "-DoutputDirectory=%s", dir);
    printf("fetching AWS's runtime interface client into %s\n", dir);
    fflush(stdout);
    r = runtime_run_tool(words, dir, err);
    return r < 0 ? err_wrap(err, "Maven is needed (Debian's package `maven`)") : 0;
}

// ---- our bootstrap -----------------------------------------------------------------------------

// `tool` beside a JDK's java.
static bool beside(const struct interpreter *java, const char *tool, char to[static PATH_MAX])
{
    int folder = (int)(strrchr(java->path, '/') - java->path);

    return snprintf(to, PATH_MAX, "%.*s/%s", folder, java->path, tool) < PATH_MAX &&
           access(to, X_OK) == 0;
}

// The oldest of those that can compile for all: newer ones forget how to compile for the oldest.
static const struct interpreter *find_compiler(const struct interpreters *found)
{
    const struct interpreter *best = NULL;
    char path[PATH_MAX];

    for (unsigned i = 0; i < found->n; i++) {
        const struct interpreter *p = &found->list[i];
        bool modern = p->major >= OLDEST_MODERN;
        if (p->kind != INTERPRETER_JAVA || !beside(p, "javac", path) || !beside(p, "jar", path))
            continue;
        if (!best || (modern && (best->major < OLDEST_MODERN || p->major < best->major)))
            best = p;
    }
    return best;
}

static int write_sources(const char *dir, struct err *err)
{
    char path[PATH_MAX];
    int r = 0;

    for (const struct embedded_file *f = runtime_java_files; r == 0 && f->name; f++) {
        bool library = strcmp(f->name, RUNTIME_JAVA_LIBRARY) == 0;
        struct str content = {(const char *)f->data, f->len};
        char folder[PATH_MAX];

        r = path_of(folder, dir, library ? "." : "source", err);
        if (r == 0)
            r = path_of(path, folder, f->name, err);
        if (r < 0)
            return r;
        snprintf(folder, sizeof(folder), "%s", path);
        *strrchr(folder, '/') = '\0';
        r = mkdir_p(folder, 0755, err);
        if (r == 0)
            r = write_file_atomic(path, content, library ? 0755 : 0644, err);
    }
    return r;
}

// Those in `package`, for `release`, into the folder `to`.
static int compile(const struct interpreter *java, const char *dir, const char *package,
                   const char *release, const char *to, struct err *err)
{
    char javac[PATH_MAX], sources[16][64];
    const char *words[MAX_WORDS] = {javac,       "-nowarn", "-Xlint:-options",
                                    "-encoding", "UTF-8",   "-d",
                                    to,          "-cp",     RUNTIME_JAVA_CLASS_PATH("../runtime")};
    unsigned n = 9, s = 0;

    if (!beside(java, "javac", javac))
        return err_set(err, -ENOENT, "there is no javac beside %s", java->path);
    if (java->major >= FIRST_WITH_RELEASE) {
        words[n++] = "--release";
        words[n++] = release;
    }
    for (const struct embedded_file *f = runtime_java_files; f->name; f++) {
        size_t len = strlen(package);
        if (strncmp(f->name, package, len) != 0 || f->name[len] != '/' || s == ARRAY_LEN(sources) ||
            n + 1 == MAX_WORDS)
            continue;
        snprintf(sources[s], sizeof(sources[s]), RUNTIME_JAVA_FOLDER "/source/%s", f->name);
        words[n++] = sources[s++];
    }
    return runtime_run_tool(words, dir, err);
}

// dir is the runtime folder here: the class path is relative to it.
static int make_bootstrap(const struct interpreter *java, const char *dir, struct err *err)
{
    const char *folder = RUNTIME_JAVA_FOLDER "/classes", *warm = RUNTIME_JAVA_FOLDER "/warm";
    char jar[PATH_MAX], name[RUNTIME_JAVA_NAME_BYTES], made[PATH_MAX], path[PATH_MAX];
    const char *words[] = {jar,       "cf", RUNTIME_JAVA_FOLDER "/bootstrap.new", "-C", folder,
                           "lambkin", NULL};
    int r;

    if (!beside(java, "jar", jar))
        return err_set(err, -ENOENT, "there is no jar beside %s", java->path);
    r = path_of(path, dir, folder, err);
    if (r == 0)
        r = mkdir_p(path, 0755, err);
    if (r == 0)
        r = path_of(path, dir, warm, err);
    if (r == 0)
        r = mkdir_p(path, 0755, err);
    if (r == 0)
        r = compile(java, dir, "lambkin", "8", folder, err);
    if (r == 0)
        r = compile(java, dir, "lambkinwarm", "11", warm, err);
    if (r == 0)
        r = runtime_run_tool(words, dir, err);
    if (r == 0)
        r = path_of(made, dir, words[2], err);
    if (r < 0)
        return r;
    runtime_java_name(name);
    snprintf(jar, sizeof(jar), RUNTIME_JAVA_FOLDER "/%s", name);
    r = path_of(path, dir, jar, err);
    if (r == 0 && (chmod(made, 0644) < 0 || rename(made, path) < 0))
        r = err_errno(err, errno, "rename %s", made);
    return r;
}

// ---- archives ----------------------------------------------------------------------------------

// Runs what environments run, once and with nobody to talk to, and keeps the classes that it
// loaded: environments map them instead of reading and checking them. AWS's client stops with an
// error then, which is meant. Without an archive Java starts all the same, later.
static void archive_classes(const struct interpreter *java, const char *dir, bool bootstrap)
{
    char file[64], name[RUNTIME_JAVA_NAME_BYTES], class_path[512], path[PATH_MAX];
    const char *words[] = {java->path,
                           file,
                           "-XX:+UseG1GC", // the others map an archive of its making as well
                           "-XX:TieredStopAtLevel=1",
                           "-XX:-UsePerfData",
                           "-Xlog:disable",
                           "-cp",
                           class_path,
                           bootstrap ? RUNTIME_JAVA_BOOTSTRAP_MAIN : RUNTIME_JAVA_MAIN,
                           bootstrap ? "--archive"
                                     : "java.util.HashMap::putAll", // a Map: loads the codecs
                           NULL};
    char *const env[] = {(char[]){"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"},
                         (char[]){"LAMBDA_TASK_ROOT=/nonexistent"}, (char[]){"PATH=/usr/bin:/bin"},
                         NULL};
    const struct spawn s = {
        .path = java->path, .argv = (char *const *)words, .envp = env, .cwd = dir};
    struct buf out;
    int status;

    runtime_java_name(name);
    snprintf(file, sizeof(file), "-XX:ArchiveClassesAtExit=" RUNTIME_JAVA_FOLDER "/%u.jsa",
             java->major);
    snprintf(class_path, sizeof(class_path), "../runtime/" RUNTIME_JAVA_FOLDER "/%s:%s", name,
             RUNTIME_JAVA_CLASS_PATH("../runtime"));
    if (!bootstrap)
        snprintf(class_path, sizeof(class_path), "%s", RUNTIME_JAVA_CLASS_PATH("../runtime"));
    snprintf(path, sizeof(path), "%s/" RUNTIME_JAVA_FOLDER "/%u.jsa", dir, java->major);
    unlink(path);
    buf_init(&out, 1 << 20);
    spawn_run(&s, 60000, &out, &status, NULL);
    buf_finish(&out);
    if (access(path, R_OK) == 0 && chmod(path, 0644) == 0)
        printf("archived the classes for Java %s\n", java->version);
}

int runtime_install_java(const char *dir, struct err *err)
{
    const struct interpreter *compiler;
    struct interpreters found;
    char folder[PATH_MAX];
    int r = path_of(folder, dir, RUNTIME_JAVA_FOLDER, err);

    if (r == 0)
        r = mkdir_p(folder, 0755, err);
    if (r == 0)
        r = fetch_client(folder, err);
    if (r < 0)
        return r;
    interpreters_find(&found);
    compiler = find_compiler(&found);
    if (compiler) {
        printf("compiling the bootstrap with Java %s\n", compiler->version);
        fflush(stdout);
        r = write_sources(folder, err);
        if (r == 0)
            r = make_bootstrap(compiler, dir, err);
        if (r < 0)
            return r;
    } else {
        printf("no javac beside any Java here: functions are run by AWS's client itself, which "
               "starts more slowly. With a JDK (Debian's package `default-jdk-headless`), "
               "do this again.\n");
    }
    for (unsigned i = 0; i < found.n; i++)
        if (found.list[i].kind == INTERPRETER_JAVA && found.list[i].major >= FIRST_WITH_ARCHIVES)
            archive_classes(&found.list[i], dir, compiler != NULL);
    return 0;
}
