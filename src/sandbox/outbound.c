// outbound.c - see outbound.h.
#include "sandbox/outbound.h"

#include "sandbox/kernel.h"
#include "sandbox/outbound_filter.h"

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
#define ADDRESS6 "fd6c:616d:626b:696e::2"
#define GATEWAY6 "fe80::1"
#define START_MS 3000
#define MAX_OWN 128

// ---- what was asked for ----

// Splits off ":443" or ":*"; an IPv6 network with a port stands in brackets.
static int split_port(struct str text, struct str *network, uint16_t *port)
{
    struct str rest = text, after = {0};
    *port = 0;
    if (str_starts(text, STR("["))) {
        rest = str_slice(text, 1, text.len);
        if (!str_next(&rest, ']', network) || str_is_null(rest))
            return -EINVAL;
        if (rest.len && !str_starts(rest, STR(":")))
            return -EINVAL;
        if (rest.len)
            after = str_slice(rest, 1, rest.len);
        else
            return 0;
    } else {
        if (!str_next(&rest, ':', network))
            return -EINVAL;
        if (str_is_null(rest))
            return 0;
        if (str_find(rest, STR(":")) >= 0) { // an IPv6 network, alone
            *network = text;
            return 0;
        }
        after = rest;
    }
    uint64_t n = 0;
    if (str_eq(after, STR("*")))
        return 0;
    if (str_to_u64(after, &n) < 0 || n == 0 || n > 65535)
        return -EINVAL;
    *port = (uint16_t)n;
    return 0;
}

static int parse(struct str text, struct outbound_network *out)
{
    char address[64];
    struct str network, host;
    *out = (struct outbound_network){0};
    if (split_port(text, &network, &out->port) < 0 || !str_next(&network, '/', &host))
        return -EINVAL;
    snprintf(address, sizeof(address), "%.*s", STR_ARG(host));
    out->family = str_find(host, STR(":")) >= 0 ? AF_INET6 : AF_INET;
    unsigned most = out->family == AF_INET ? 32 : 128;
    uint64_t bits = most;
    if (inet_pton(out->family, address, out->address) != 1)
        return -EINVAL;
    if (!str_is_null(network) && (str_to_u64(network, &bits) < 0 || bits > most))
        return -EINVAL;
    out->bits = (unsigned)bits;
    for (unsigned i = out->bits; i < most; i++)
        out->address[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
    return 0;
}

int outbound_parse(const char *text, struct outbound_network *out, struct err *err)
{
    if (parse(str_from(text), out) < 0)
        return err_set(err, -EINVAL,
                       "outbound destination '%.60s' is not a network: 10.0.0.0/8, "
                       "192.0.2.7:443, 2001:db8::/32 or [2001:db8::/32]:443",
                       text);
    return 0;
}

// ---- routes ----

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
    struct outbound_network networks[SANDBOX_MAX_OUTBOUND + 1], own[MAX_OWN];
    unsigned n, n_own;
    bool v6; // any of the networks is
};

static uint32_t host_order(const struct outbound_network *n)
{
    uint32_t v;
    memcpy(&v, n->address, sizeof(v));
    return ntohl(v);
}

static int add_route6(int fd, const struct outbound_network *n, bool reject)
{
    struct in6_rtmsg r = {.rtmsg_dst_len = (uint16_t)n->bits,
                          .rtmsg_metric = 1,
                          .rtmsg_flags = RTF_UP | (reject ? RTF_REJECT : RTF_GATEWAY)};
    memcpy(&r.rtmsg_dst, n->address, sizeof(r.rtmsg_dst));
    r.rtmsg_ifindex = (int)if_nametoindex(reject ? "lo" : DEVICE);
    if (!reject)
        inet_pton(AF_INET6, GATEWAY6, &r.rtmsg_gateway);
    return ioctl(fd, SIOCADDRT, &r) < 0 && errno != EEXIST ? -errno : 0;
}

static int add(int fd4, int fd6, const struct outbound_network *n, bool reject)
{
    return n->family == AF_INET ? add_route(fd4, host_order(n), n->bits, reject)
                                : add_route6(fd6, n, reject);
}

static int write_knob(const char *name, const char *value)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", DEVICE, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

// Nobody else is on that device, so there is no need to wait for a second whether the address is
// taken; and no router there is to be believed.
static int set_address6(int fd)
{
    struct {
        struct in6_addr address;
        uint32_t bits;
        int device;
    } r = {.bits = 64, .device = (int)if_nametoindex(DEVICE)};
    int e = write_knob("accept_dad", "0");
    if (e == 0)
        e = write_knob("accept_ra", "0");
    inet_pton(AF_INET6, ADDRESS6, &r.address);
    if (e == 0 && ioctl(fd, SIOCSIFADDR, &r) < 0)
        e = -errno;
    return e;
}

static bool same_address(const struct outbound_network *a, const struct outbound_network *b)
{
    return a->family == b->family && a->bits == b->bits &&
           memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static bool listed_by_itself(const struct grant *g, const struct outbound_network *own)
{
    for (unsigned i = 0; i < g->n; i++)
        if (same_address(&g->networks[i], own))
            return true;
    return false;
}

static void deny(struct grant *g, int family, const void *address, unsigned bits)
{
    if (g->n_own == MAX_OWN)
        return;
    struct outbound_network n = {.family = family, .bits = bits};
    memcpy(n.address, address, family == AF_INET ? 4 : 16);
    g->own[g->n_own++] = n;
}

// What the host answers to by itself, and the metadata services that clouds put on a host.
static int find_own(struct grant *g)
{
    static const char *const never[] = {"169.254.169.254", "127.0.0.0/8", "169.254.0.0/16",
                                        "fd00:ec2::254",   "fe80::/10",   "::1"};
    struct ifaddrs *all = NULL;
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        struct outbound_network n;
        if (outbound_parse(never[i], &n, NULL) == 0)
            deny(g, n.family, n.address, n.bits);
    }
    if (getifaddrs(&all) < 0)
        return -errno;
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET)
            deny(g, AF_INET, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, 32);
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6)
            deny(g, AF_INET6, &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr, 128);
    }
    freeifaddrs(all);
    return g->n_own == MAX_OWN ? -E2BIG : 0; // rather refuse than leave one open
}

// Whether one of those gets a rejecting route: not loopback, nor what is listed by itself.
static bool has_route(const struct grant *g, const struct outbound_network *own)
{
    struct in6_addr a;
    if (own->family == AF_INET)
        return own->bits == 32 && own->address[0] != 127 && !listed_by_itself(g, own);
    memcpy(&a, own->address, sizeof(a));
    return g->v6 && own->bits == 128 && !IN6_IS_ADDR_LOOPBACK(&a) && !IN6_IS_ADDR_LINKLOCAL(&a) &&
           !listed_by_itself(g, own);
}

// Inside the sandbox's network.
static int configure(const struct grant *g)
{
    _cleanup_close_ int fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int fd6 = g->v6 ? socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd4 < 0 || (g->v6 && fd6 < 0))
        return -errno;
    // The filter before there is an address: at no moment is anything open that must not be.
    int r = outbound_filter_install(g->own, g->n_own, g->networks, g->n);
    if (r == 0 && g->v6)
        r = set_address6(fd6);
    if (r == 0)
        r = set_address(fd4);
    // A rejection tells at once what the filter would only drop. Loopback and what is link-local
    // have routes of their own.
    for (unsigned i = 0; r == 0 && i < g->n_own; i++)
        if (has_route(g, &g->own[i]))
            r = add(fd4, fd6, &g->own[i], true);
    for (unsigned i = 0; r == 0 && i < g->n; i++)
        r = add(fd4, fd6, &g->networks[i], false);
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

static pid_t start_stack(const char *file, bool v6)
{
    static const char *const both[] = {
        "pasta",        "--foreground", "--quiet",   "--no-map-gw",   "--tcp-ports",
        "none",         "--udp-ports",  "none",      "--tcp-ns",      "none",
        "--udp-ns",     "none",         "--no-dhcp", "--no-dhcpv6",   "--no-ra",
        "--ns-ifname",  DEVICE,         "--address", ADDRESS,         "--netmask",
        MASK,           "--gateway",    GATEWAY,     "--dns-forward", OUTBOUND_DNS,
        "--netns-only", "--runas",      "0"};
    static const char *const only4[] = {"--ipv4-only", "--no-ndp"};
    static const char *const with6[] = {"--address", ADDRESS6, "--gateway", GATEWAY6};
    const char *argv[ARRAY_LEN(both) + ARRAY_LEN(with6) + 3];
    size_t n = ARRAY_LEN(both), more = v6 ? ARRAY_LEN(with6) : ARRAY_LEN(only4);
    memcpy(argv, both, sizeof(both));
    memcpy(argv + n, v6 ? with6 : only4, more * sizeof(argv[0]));
    n += more;
    argv[n++] = "--netns";
    argv[n++] = file;
    argv[n] = NULL;
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
        int r = outbound_parse(b->outbound[i], &g->networks[g->n], err);
        if (r < 0)
            return r;
        g->v6 = g->v6 || g->networks[g->n].family == AF_INET6;
        g->n++;
    }
    int r = find_own(g);
    if (r < 0)
        return err_errno(err, -r, "list the host's addresses");
    outbound_parse(OUTBOUND_DNS ":53", &g->networks[g->n++], NULL); // what answers names
    return 0;
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
    o->pid = start_stack(o->file, g->v6);
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
    if (r == -EOPNOTSUPP)
        return err_set(err, r,
                       "outbound network needs nf_tables in the kernel, to keep to the list");
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
