// bytecode.c - Python bytecode, made when a package is deployed and never at start.
//
// The sources are a stranger's, but compiling runs none of them. It happens in a child with bounded
// memory, time and file sizes nevertheless: a compiler can be made to eat both. Files get the path
// that they will have inside, so that tracebacks read as on AWS.
#include "services/lambda/packages.h"

#include "base/cleanup.h"
#include "os/log.h"
#include "os/spawn.h"

#include <stdio.h>
#include <stdlib.h>

#define COMPILE_TIMEOUT_MS 30000

// Limits are set by the child itself before it looks at the sources; -I -S: nothing of the user's
// environment, no site-packages.
static const char program[] =
    "import os, resource, sys, py_compile\n"
    "from importlib.util import cache_from_source\n"
    "for what, soft in ((resource.RLIMIT_AS, 1 << 30), (resource.RLIMIT_CPU, 25),\n"
    "                   (resource.RLIMIT_FSIZE, 64 << 20), (resource.RLIMIT_CORE, 0)):\n"
    "    resource.setrlimit(what, (soft, soft))\n"
    "tree, inside = sys.argv[1:3]\n"
    "for folder, _, names in os.walk(tree):\n"
    "    for name in names:\n"
    "        path = os.path.join(folder, name)\n"
    "        if not name.endswith('.py') or os.path.islink(path):\n"
    "            continue\n"
    "        cache = cache_from_source(path)\n"
    "        if os.path.exists(cache):\n"
    "            continue\n"
    "        try:\n"
    "            py_compile.compile(path, cache, inside + path[len(tree):], True,\n"
    "                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)\n"
    "        except Exception:\n"
    "            pass\n";

void package_compile_python(const char *code_dir, const char *sha256, const char *interpreter,
                            const char *inside)
{
    static char path[] = "PATH=/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
    static char *const env[] = {path, lang, NULL};
    static char isolated[] = "-I", no_site[] = "-S", command[] = "-c";
    _cleanup_free_ char *tree = NULL;
    _cleanup_(buf_finishp) struct buf output;
    struct err err = ERR_INIT;
    int status = 0;

    buf_init(&output, 4096);
    if (!interpreter[0])
        return;
    if (asprintf(&tree, "%s/%s", code_dir, sha256) < 0) {
        tree = NULL;
        return;
    }
    char *const argv[] = {(char *)interpreter, isolated, no_site,        command,
                          (char *)program,     tree,     (char *)inside, NULL};
    const struct spawn s = {
        .path = interpreter, .argv = argv, .envp = env, .cwd = "/", .new_group = true};
    int r = spawn_run(&s, COMPILE_TIMEOUT_MS, &output, &status, &err);
    if (r < 0)
        log_info("compiling %s to bytecode: %s", sha256, err.message);
}
