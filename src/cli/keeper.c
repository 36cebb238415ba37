// keeper.c - the keeper process, as main starts it.
#include "base/cleanup.h"
#include "cli/hot_folders.h"
#include "cli/link.h"
#include "cli/settings.h"
#include "cli/verb.h"
#include "os/fd.h"
#include "os/log.h"
#include "sandbox/keeper.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int keeper_child_main(int argc, char **argv)
{
    _cleanup_(config_destroyp) struct config *c = NULL;
    _cleanup_(buf_finishp) struct buf text = {0};
    _cleanup_free_ char *interpreters = NULL;
    _cleanup_free_ char *folders = NULL;
    struct keeper_config config = {0};
    char runtime_dir[SANDBOX_MAX_PATH];
    struct err err = ERR_INIT;
    enum log_level level = LOG_LEVEL_INFO;

    (void)argc;
    (void)argv;
    // Main blocked them for itself; the keeper ends when its socket does.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    buf_init(&text, 1 << 20);
    if (fd_read_all(LINK_FD_SETTINGS, &text) < 0 ||
        settings_load_text(buf_str(&text), &c, &err) < 0) {
        fprintf(stderr, "lambkin: the keeper is started by `lambkin serve` only %s\n", err.message);
        return EXIT_USAGE;
    }
    close(LINK_FD_SETTINGS);
    fd_set_cloexec(LINK_FD_MAIN, true);
    fd_set_cloexec(LINK_FD_LOCK, true);
    log_level_parse(config_str(c, "log-level"), &level);
    log_init("keeper", level);
    config.data_dir = config_cstr(c, "data-dir");
    snprintf(runtime_dir, sizeof(runtime_dir), "%s/runtime", config.data_dir);
    config.runtime_dir = runtime_dir;
    if (config_cstr(c, "run-interpreters")) {
        interpreters = strdup(config_cstr(c, "run-interpreters"));
        if (interpreters)
            config.n_interpreters =
                paths_split(interpreters, config.interpreters, KEEPER_MAX_INTERPRETERS);
    }
    if (config_cstr(c, "hot-reload")) {
        folders = strdup(config_cstr(c, "hot-reload"));
        if (folders)
            config.n_hot_dirs = paths_split(folders, config.hot_dirs, KEEPER_MAX_HOT_DIRS);
    }
    config.io_bytes = (uint64_t)config_i64(c, "io-bandwidth");
    config.io_operations = (uint64_t)config_i64(c, "io-operations");
    config.cpu_proportional = str_eq(config_str(c, "cpu"), STR("proportional"));
    if (sandbox_degree_parse(config_str(c, "isolation"), &config.degree) < 0)
        return EXIT_USAGE;
    return keeper_main(&config, LINK_FD_MAIN);
}
