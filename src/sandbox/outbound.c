// outbound.c - see outbound.h.
#include "sandbox/outbound.h"

#include "sandbox/kernel.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define DEVICE "out0"
#define ADDRESS "198.18.0.2" // of the range for benchmarks (RFC 2544): on nobody's network
#define GATEWAY "198.18.0.1"
#define MASK "255.255.255.248"
#define METADATA "169.254.169.254"
#define START_MS 3000
#define MAX_OWN 64

int outbound_parse(const char *text, uint32_t *network, unsigned *bits, struct err *err)
{
    char address[64];
    struct str rest = str_from(text), host, slash;
    uint64_t n = 32;
    struct in_addr a;
    if (!str_next(&rest, ':', &host))
        return err_set(err, -EINVAL, "an outbound destination is empty");
    if (!str_is_null(rest) && !str_eq(rest, STR("*")))
        return err_set(err, -EOPNOTSUPP,
                       "outbound destination '%.60s' names a port: only whole networks can be "
                       "granted",
                       text);
    struct str mask = host;
    str_next(&mask, '/', &slash);
    if (!str_is_null(mask) && (str_to_u64(mask, &n) < 0 || n > 32))
        return err_set(err, -EINVAL, "outbound destination '%.60s' is not an IPv4 network", text);
    snprintf(address, sizeof(address), "%.*s", STR_ARG(slash));
    if (inet_pton(AF_INET, address, &a) != 1)
        return err_set(err, -EINVAL, "outbound destination '%.60s' is not an IPv4 network", text);
    *bits = (unsigned)n;
    *network = ntohl(a.s_addr) & (n ? ~0u << (32 - n) : 0);
    return 0;
}

static struct sockaddr of(uint32_t host_order)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host_order)};
    struct sockaddr s;
    memcpy(&s, &in, sizeof(s));
    return s;
}

static uint32_t from_text(const char *text)
{
    struct in_addr a = {0};
    inet_pton(AF_INET, text, &a);
    return ntohl(a.s_addr);
}

static int add_route(int fd, uint32_t network, unsigned bits, bool reject)
{
    char device[] = DEVICE;
    struct rtentry r = {
        .rt_dst = of(network), .rt_genmask = of(bits ? ~0u << (32 - bits) : 0), .rt_flags = RTF_UP};
    if (reject) {
        r.rt_flags |= RTF_REJECT;
    } else {
        r.rt_gateway = of(from_text(GATEWAY));
        r.rt_flags |= RTF_GATEWAY;
        r.rt_dev = device;
    }
    return ioctl(fd, SIOCADDRT, &r) < 0 && errno != EEXIST ? -errno : 0;
}

static int set_address(int fd)
{
    struct ifreq r = {.ifr_name = DEVICE};
    r.ifr_addr = of(from_text(ADDRESS));
    if (ioctl(fd, SIOCSIFADDR, &r) < 0)
        return -errno;
    r.ifr_netmask = of(from_text(MASK));
    if (ioctl(fd, SIOCSIFNETMASK, &r) < 0)
        return -errno;
    r.ifr_flags = IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &r) < 0 ? -errno : 0;
}

struct grant {
    uint32_t networks[SANDBOX_MAX_OUTBOUND], own[MAX_OWN];
    unsigned bits[SANDBOX_MAX_OUTBOUND], n, n_own;
};

static bool listed_by_itself(const struct grant *g, uint32_t address)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->bits[i] == 32 && g->networks[i] == address)
            return true;
    return false;
}

// What the host answers to by itself, and the metadata service that clouds put on a host.
static int find_own(struct grant *g)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) < 0)
        return -errno;
    g->own[g->n_own++] = from_text(METADATA);
    for (struct ifaddrs *i = all; i && g->n_own < MAX_OWN; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET)
            g->own[g->n_own++] =
                ntohl(((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr.s_addr);
    freeifaddrs(all);
    return g->n_own == MAX_OWN ? -E2BIG : 0; // rather refuse than leave one open
}

// Inside the sandbox's network.
static int configure(const struct grant *g)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = set_address(fd);
    // Rejections first: at no moment is anything open that must not be.
    for (unsigned i = 0; r == 0 && i < g->n_own; i++)
        if (!listed_by_itself(g, g->own[i]) && g->own[i] >> 24 != 127)
            r = add_route(fd, g->own[i], 32, true);
    for (unsigned i = 0; r == 0 && i < g->n; i++)
        r = add_route(fd, g->networks[i], g->bits[i], false);
    return r;
}

static int wait_for_device(pid_t stack)
{
    int64_t until = os_mono_ms() + START_MS;
    while (if_nametoindex(DEVICE) == 0) {
        if (waitpid(stack, NULL, WNOHANG) != 0)
            return -ECHILD;
        if (os_mono_ms() > until)
            return -ETIMEDOUT;
        usleep(500);
    }
    return 0;
}

static pid_t start_stack(const char *file)
{
    const char *const argv[] = {"pasta",       "--foreground",  "--quiet",     "--ipv4-only",
                                "--no-map-gw", "--tcp-ports",   "none",        "--udp-ports",
                                "none",        "--tcp-ns",      "none",        "--udp-ns",
                                "none",        "--no-dhcp",     "--no-dhcpv6", "--no-ndp",
                                "--no-ra",     "--ns-ifname",   DEVICE,        "--address",
                                ADDRESS,       "--netmask",     MASK,          "--gateway",
                                GATEWAY,       "--dns-forward", OUTBOUND_DNS,  "--netns",
                                file,          "--netns-only",  "--runas",     "0",
                                NULL};
    const char *const envp[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                NULL};
    pid_t pid = vfork();
    if (pid != 0)
        return pid;
    // Its messages would go to a syslog that need not be there.
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    signal(SIGPIPE, SIG_DFL); // it refuses to start where this is ignored already
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    syscall(SYS_close_range, 3, ~0U, 0);
    execve("/usr/bin/pasta", (char *const *)argv, (char *const *)envp);
    execve("/usr/local/bin/pasta", (char *const *)argv, (char *const *)envp);
    _exit(127);
}

static int read_list(const struct sandbox_binding *b, struct grant *g, struct err *err)
{
    for (unsigned i = 0; i < b->n_outbound; i++) {
        int r = outbound_parse(b->outbound[i], &g->networks[g->n], &g->bits[g->n], err);
        if (r < 0)
            return r;
        g->n++;
    }
    int r = find_own(g);
    return r < 0 ? err_errno(err, -r, "list the host's addresses") : 0;
}

static int attach(struct outbound *o, pid_t sandbox, int own_ns, const struct grant *g,
                  struct err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", sandbox);
    // The stack drops the privilege to look into /proc before it opens the namespace.
    _cleanup_close_ int file = open(o->file, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || mount(path, o->file, NULL, MS_BIND, NULL) < 0)
        return err_errno(err, errno, "mount the sandbox's network namespace");
    _cleanup_close_ int ns = open(o->file, O_RDONLY | O_CLOEXEC);
    o->pid = start_stack(o->file);
    if (ns < 0 || o->pid < 0)
        return err_errno(err, errno, "start pasta");
    if (setns(ns, CLONE_NEWNET) < 0)
        return err_errno(err, errno, "enter the sandbox's network");
    int r = wait_for_device(o->pid);
    if (r == -ECHILD)
        o->pid = 0;
    if (r == 0)
        r = configure(g);
    if (setns(own_ns, CLONE_NEWNET) < 0)
        abort();
    if (r == -ECHILD)
        return err_set(err, -EOPNOTSUPP,
                       "outbound network needs pasta, which ended at once: apt install passt");
    return r < 0 ? err_errno(err, -r, "set up outbound network") : 0;
}

int outbound_start(struct outbound *o, const char *folder, unsigned number, pid_t sandbox,
                   int own_ns, const struct sandbox_binding *b, struct err *err)
{
    struct grant g = {0};
    int r = read_list(b, &g, err);
    if (r < 0)
        return r;
    int n = snprintf(o->file, sizeof(o->file), "%s/net-%u", folder, number);
    if (n < 0 || (size_t)n >= sizeof(o->file))
        return err_set(err, -ENAMETOOLONG, "path is too long");
    r = attach(o, sandbox, own_ns, &g, err);
    if (r < 0)
        outbound_stop(o);
    return r;
}

void outbound_stop(struct outbound *o)
{
    if (o->pid > 0) {
        kill(o->pid, SIGKILL);
        waitpid(o->pid, NULL, 0);
        o->pid = 0;
    }
    if (o->file[0]) {
        umount2(o->file, MNT_DETACH);
        unlink(o->file);
        o->file[0] = '\0';
    }
}
