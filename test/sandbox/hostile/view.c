// view.c - attempts to see or change what is the host's or another function's, also by network.
#include "attempts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

static _Noreturn void try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    outcome(fd);
}

static void read_shadow(void)
{
    try_open("/etc/shadow", O_RDONLY);
}

static void read_root_home(void)
{
    DIR *d = opendir("/root");
    struct dirent *e;
    int n = 0;
    if (!d)
        outcome(-1);
    while ((e = readdir(d)))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    // An interpreter that lives there is shown, alone.
    if (n <= 1)
        failed("ENOENT");
    succeeded("%d names", n);
}

static void read_home(void)
{
    try_open("/home", O_RDONLY | O_DIRECTORY);
}

static void read_marker(void)
{
    try_open(setting("MARKER"), O_RDONLY);
}

static void read_data_dir(void)
{
    try_open(setting("DATA_DIR"), O_RDONLY | O_DIRECTORY);
}

static void read_by_dots(void)
{
    if (chdir("/tmp") == 0)
        try_open("../../../../../../../../../etc/shadow", O_RDONLY);
}

static void read_var_lib(void)
{
    try_open("/var/lib", O_RDONLY | O_DIRECTORY);
}

// Creates the file, and removes it again where that worked.
static _Noreturn void try_create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), e = errno;
    if (fd >= 0)
        unlink(path);
    outcome_was(fd, e);
}

static void write_usr(void)
{
    try_create("/usr/lambkin-hostile");
}

static void write_task(void)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/lambkin-hostile", setting("LAMBDA_TASK_ROOT"));
    try_create(path);
}

static void write_etc(void)
{
    try_create("/etc/lambkin-hostile");
}

static void write_root(void)
{
    try_create("/lambkin-hostile");
}

static void write_dev(void)
{
    try_create("/dev/lambkin-hostile");
}

static void write_opt(void)
{
    try_create("/opt/lambkin-hostile");
}

static void write_passwd(void)
{
    try_open("/etc/passwd", O_WRONLY | O_APPEND);
}

static void make_device(void)
{
    const char *path = "/tmp/lambkin-hostile-disk";
    int r = mknod(path, S_IFBLK | 0600, makedev(254, 0)), e = errno;
    unlink(path);
    outcome_was(r, e);
}

static void open_disk(void)
{
    static const char *const names[] = {"/dev/vda",  "/dev/sda",   "/dev/nvme0n1",
                                        "/dev/xvda", "/dev/loop0", "/dev/loop-control"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (open(names[i], O_RDONLY) >= 0)
            succeeded("%s", names[i]);
    failed("%s", strerrorname_np(errno));
}

static void open_kernel_log(void)
{
    try_open("/dev/kmsg", O_RDONLY);
}

static void open_kernel_memory(void)
{
    try_open("/dev/mem", O_RDWR);
}

// Processes that are neither this one nor its children.
static void see_processes(void)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (isdigit((unsigned char)e->d_name[0]) && strtol(e->d_name, NULL, 10) != getpid())
            succeeded("process %s", e->d_name);
    failed("alone");
}

static void read_init_environment(void)
{
    char byte;
    int fd = open("/proc/1/environ", O_RDONLY);
    outcome(fd < 0 ? -1 : read(fd, &byte, 1));
}

static void open_init_memory(void)
{
    try_open("/proc/1/mem", O_RDWR);
}

static void open_init_root(void)
{
    try_open("/proc/1/root", O_RDONLY | O_DIRECTORY);
}

static void write_core_pattern(void)
{
    try_open("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static void read_boot_id(void)
{
    try_open("/proc/sys/kernel/random/boot_id", O_RDONLY);
}

// A file that is covered reads as empty, whatever is written to it.
static _Noreturn void try_masked(const char *path, int flags)
{
    struct stat st;
    char byte;
    int fd = open(path, flags);
    if (fd < 0)
        failed("%s", strerrorname_np(errno));
    if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
        failed("masked");
    if ((flags & O_ACCMODE) == O_RDONLY && read(fd, &byte, 1) <= 0)
        failed("empty");
    succeeded("opened");
}

static void trigger_sysrq(void)
{
    try_masked("/proc/sysrq-trigger", O_WRONLY);
}

static void read_kernel_core(void)
{
    try_masked("/proc/kcore", O_RDONLY);
}

static void read_boot_options(void)
{
    try_masked("/proc/cmdline", O_RDONLY);
}

static void read_kernel_symbols(void)
{
    try_masked("/proc/kallsyms", O_RDONLY);
}

static void see_sys(void)
{
    DIR *d = opendir("/sys");
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            succeeded("/sys/%s", e->d_name);
    failed("nothing");
}

static void set_release_agent(void)
{
    static const char *const names[] = {"/sys/fs/cgroup/memory/release_agent",
                                        "/sys/fs/cgroup/pids/release_agent",
                                        "/sys/fs/cgroup/cgroup.procs"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (open(names[i], O_WRONLY) >= 0)
            succeeded("%s", names[i]);
    failed("%s", strerrorname_np(errno));
}

static void learn_host_name(void)
{
    struct utsname u;
    uname(&u);
    if (strcmp(u.nodename, setting("HOST_NAME")) == 0 && strcmp(u.nodename, "localhost") != 0)
        succeeded("%s", u.nodename);
    failed("%s", u.nodename);
}

static void learn_machine_id(void)
{
    try_open("/etc/machine-id", O_RDONLY);
}

static void learn_environment(void)
{
    if (getenv("KEEPER_SECRET"))
        succeeded("KEEPER_SECRET");
    failed("not there");
}

static void use_inherited(void)
{
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            succeeded("descriptor %d", fd);
    failed("none");
}

// ---- network ----

static _Noreturn void try_connect(const char *ip, int port, int type)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    int fd = socket(AF_INET, type, 0);
    if (fd < 0)
        outcome(fd);
    outcome(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

static void reach_host_loopback(void)
{
    try_connect("127.0.0.1", (int)strtol(setting("PORT"), NULL, 10), SOCK_STREAM);
}

static void reach_metadata(void)
{
    try_connect("169.254.169.254", 80, SOCK_STREAM);
}

static void reach_internet(void)
{
    try_connect("1.1.1.1", 53, SOCK_DGRAM);
}

static void reach_internet_v6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
    inet_pton(AF_INET6, "2606:4700:4700::1111", &a.sin6_addr);
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    if (fd < 0)
        outcome(fd);
    outcome(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

static _Noreturn void try_unix(const char *path, int abstract)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path + abstract, sizeof(a.sun_path) - (size_t)abstract, "%s", path);
    socklen_t len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)abstract + strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    outcome(connect(fd, (struct sockaddr *)&a, len));
}

static void reach_abstract(void)
{
    try_unix(setting("ABSTRACT"), 1);
}

static void reach_host_socket(void)
{
    try_unix(setting("SOCKET"), 0);
}

static _Noreturn void try_bind(int port, int reuse)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (reuse) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    }
    outcome(bind(fd, (struct sockaddr *)&a, sizeof(a)));
}

static void bind_low_port(void)
{
    try_bind(81, 0);
}

static void bind_runtime_api(void)
{
    try_bind(9001, 1);
}

static void make_interface(void)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
    } m = {.h = {.nlmsg_len = sizeof(m),
                 .nlmsg_type = RTM_SETLINK,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
           .i = {.ifi_index = 1, .ifi_change = 1}}; // loopback down
    char answer[512];
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    if (fd < 0 || send(fd, &m, sizeof(m), 0) < 0 || recv(fd, answer, sizeof(answer), 0) < 0)
        outcome(-1);
    const struct nlmsgerr *e = NLMSG_DATA((struct nlmsghdr *)answer);
    outcome_was(e->error < 0 ? -1 : 0, -e->error);
}

static void socket_of(int family, int type, int protocol)
{
    int fd = socket(family, type, protocol);
    outcome(fd);
}

static void sniff_packets(void)
{
    socket_of(AF_PACKET, SOCK_RAW, 0x300);
}

static void raw_socket(void)
{
    socket_of(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static void vsock_socket(void)
{
    socket_of(AF_VSOCK, SOCK_STREAM, 0);
}

static void audit_socket(void)
{
    socket_of(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
}

static void crypto_socket(void)
{
    socket_of(AF_ALG, SOCK_SEQPACKET, 0);
}

const struct attempt view_attempts[] = {
    {"read_shadow", read_shadow},
    {"read_root_home", read_root_home},
    {"read_home", read_home},
    {"read_marker", read_marker},
    {"read_data_dir", read_data_dir},
    {"read_by_dots", read_by_dots},
    {"read_var_lib", read_var_lib},
    {"write_usr", write_usr},
    {"write_task", write_task},
    {"write_etc", write_etc},
    {"write_root", write_root},
    {"write_dev", write_dev},
    {"write_opt", write_opt},
    {"write_passwd", write_passwd},
    {"make_device", make_device},
    {"open_disk", open_disk},
    {"open_kernel_log", open_kernel_log},
    {"open_kernel_memory", open_kernel_memory},
    {"see_processes", see_processes},
    {"read_init_environment", read_init_environment},
    {"open_init_memory", open_init_memory},
    {"open_init_root", open_init_root},
    {"write_core_pattern", write_core_pattern},
    {"read_boot_id", read_boot_id},
    {"trigger_sysrq", trigger_sysrq},
    {"read_kernel_core", read_kernel_core},
    {"read_boot_options", read_boot_options},
    {"read_kernel_symbols", read_kernel_symbols},
    {"see_sys", see_sys},
    {"set_release_agent", set_release_agent},
    {"learn_host_name", learn_host_name},
    {"learn_machine_id", learn_machine_id},
    {"learn_environment", learn_environment},
    {"use_inherited", use_inherited},
    {"reach_host_loopback", reach_host_loopback},
    {"reach_metadata", reach_metadata},
    {"reach_internet", reach_internet},
    {"reach_internet_v6", reach_internet_v6},
    {"reach_abstract", reach_abstract},
    {"reach_host_socket", reach_host_socket},
    {"bind_low_port", bind_low_port},
    {"bind_runtime_api", bind_runtime_api},
    {"make_interface", make_interface},
    {"sniff_packets", sniff_packets},
    {"raw_socket", raw_socket},
    {"vsock_socket", vsock_socket},
    {"audit_socket", audit_socket},
    {"crypto_socket", crypto_socket},
    {0},
};
