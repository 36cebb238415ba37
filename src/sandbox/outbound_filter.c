// outbound_filter.c - see outbound_filter.h. One netlink batch: all of it holds, or nothing does.
//
// The messages are those of <linux/netfilter/nf_tables.h>: a table, a chain at the output hook with
// policy drop, and rules as lists of expressions over registers.
#include "sandbox/outbound_filter.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#define TABLE "lambkin"
#define CHAIN "out"
#define ROOM ((size_t)160 * 1024)

struct batch {
    char *at;
    size_t len;
    uint32_t serial;
    bool failed;
};

static void *grow(struct batch *b, size_t n)
{
    size_t padded = NLMSG_ALIGN(n);
    if (b->failed || padded > ROOM - b->len) {
        b->failed = true;
        return NULL;
    }
    void *p = b->at + b->len;
    memset(p, 0, padded);
    b->len += padded;
    return p;
}

static size_t message_begin(struct batch *b, int type, unsigned flags, int family, int resource)
{
    size_t start = b->len;
    struct nlmsghdr *h = grow(b, sizeof(*h));
    struct nfgenmsg *g = grow(b, sizeof(*g));
    if (!h || !g)
        return 0;
    h->nlmsg_type = (uint16_t)type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++b->serial;
    g->nfgen_family = (uint8_t)family;
    g->res_id = htons((uint16_t)resource);
    return start;
}

static void message_end(struct batch *b, size_t start)
{
    if (!b->failed)
        ((struct nlmsghdr *)(void *)(b->at + start))->nlmsg_len = (uint32_t)(b->len - start);
}

static size_t nest(struct batch *b, int type)
{
    size_t start = b->len;
    struct nlattr *a = grow(b, sizeof(*a));
    if (a)
        a->nla_type = (uint16_t)(type | NLA_F_NESTED);
    return start;
}

static void nest_end(struct batch *b, size_t start)
{
    if (!b->failed)
        ((struct nlattr *)(void *)(b->at + start))->nla_len = (uint16_t)(b->len - start);
}

static void put(struct batch *b, int type, const void *value, size_t n)
{
    struct nlattr *a = grow(b, sizeof(*a) + n);
    if (!a)
        return;
    a->nla_type = (uint16_t)type;
    a->nla_len = (uint16_t)(sizeof(*a) + n);
    memcpy(a + 1, value, n);
}

static void put_u32(struct batch *b, int type, uint32_t v)
{
    v = htonl(v);
    put(b, type, &v, sizeof(v));
}

static void put_text(struct batch *b, int type, const char *text)
{
    put(b, type, text, strlen(text) + 1);
}

static void put_data(struct batch *b, int type, const void *value, size_t n)
{
    size_t data = nest(b, type);
    put(b, NFTA_DATA_VALUE, value, n);
    nest_end(b, data);
}

// ---- expressions ----

struct expression {
    size_t element, data;
};

static struct expression expression_begin(struct batch *b, const char *name)
{
    struct expression e = {.element = nest(b, NFTA_LIST_ELEM)};
    put_text(b, NFTA_EXPR_NAME, name);
    e.data = nest(b, NFTA_EXPR_DATA);
    return e;
}

static void expression_end(struct batch *b, struct expression e)
{
    nest_end(b, e.data);
    nest_end(b, e.element);
}

static void load_meta(struct batch *b, unsigned key)
{
    struct expression e = expression_begin(b, "meta");
    put_u32(b, NFTA_META_DREG, NFT_REG_1);
    put_u32(b, NFTA_META_KEY, key);
    expression_end(b, e);
}

static void load_payload(struct batch *b, unsigned base, unsigned offset, unsigned n)
{
    struct expression e = expression_begin(b, "payload");
    put_u32(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_u32(b, NFTA_PAYLOAD_BASE, base);
    put_u32(b, NFTA_PAYLOAD_OFFSET, offset);
    put_u32(b, NFTA_PAYLOAD_LEN, n);
    expression_end(b, e);
}

static void mask(struct batch *b, unsigned bits, unsigned n)
{
    uint8_t ones[16] = {0}, none[16] = {0};
    for (unsigned i = 0; i < bits; i++)
        ones[i / 8] |= (uint8_t)(0x80 >> i % 8);
    struct expression e = expression_begin(b, "bitwise");
    put_u32(b, NFTA_BITWISE_SREG, NFT_REG_1);
    put_u32(b, NFTA_BITWISE_DREG, NFT_REG_1);
    put_u32(b, NFTA_BITWISE_LEN, n);
    put_data(b, NFTA_BITWISE_MASK, ones, n);
    put_data(b, NFTA_BITWISE_XOR, none, n);
    expression_end(b, e);
}

static void is(struct batch *b, const void *value, size_t n)
{
    struct expression e = expression_begin(b, "cmp");
    put_u32(b, NFTA_CMP_SREG, NFT_REG_1);
    put_u32(b, NFTA_CMP_OP, NFT_CMP_EQ);
    put_data(b, NFTA_CMP_DATA, value, n);
    expression_end(b, e);
}

static void meta_is(struct batch *b, unsigned key, uint8_t value)
{
    load_meta(b, key);
    is(b, &value, 1);
}

static void accept_it(struct batch *b)
{
    struct expression e = expression_begin(b, "immediate");
    put_u32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    size_t data = nest(b, NFTA_IMMEDIATE_DATA), verdict = nest(b, NFTA_DATA_VERDICT);
    put_u32(b, NFTA_VERDICT_CODE, NF_ACCEPT);
    nest_end(b, verdict);
    nest_end(b, data);
    expression_end(b, e);
}

// An answer at once is kinder than silence: "host unreachable".
static void reject_it(struct batch *b)
{
    uint8_t code = NFT_REJECT_ICMPX_ADMIN_PROHIBITED;
    struct expression e = expression_begin(b, "reject");
    put_u32(b, NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
    put(b, NFTA_REJECT_ICMP_CODE, &code, 1);
    expression_end(b, e);
}

// ---- rules ----

struct rule {
    size_t message, list;
};

static struct rule rule_begin(struct batch *b)
{
    struct rule r = {.message = message_begin(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE,
                                              NLM_F_CREATE | NLM_F_APPEND, NFPROTO_INET, 0)};
    put_text(b, NFTA_RULE_TABLE, TABLE);
    put_text(b, NFTA_RULE_CHAIN, CHAIN);
    r.list = nest(b, NFTA_RULE_EXPRESSIONS);
    return r;
}

static void rule_end(struct batch *b, struct rule r)
{
    nest_end(b, r.list);
    message_end(b, r.message);
}

static void match_network(struct batch *b, const struct outbound_network *n)
{
    bool v4 = n->family == AF_INET;
    unsigned bytes = v4 ? 4 : 16;
    meta_is(b, NFT_META_NFPROTO, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    if (n->bits == 0)
        return;
    load_payload(b, NFT_PAYLOAD_NETWORK_HEADER, v4 ? 16 : 24, bytes); // the destination
    mask(b, n->bits, bytes);
    is(b, n->address, bytes);
}

static void deny(struct batch *b, const struct outbound_network *n)
{
    struct rule r = rule_begin(b);
    match_network(b, n);
    reject_it(b);
    rule_end(b, r);
}

static void grant(struct batch *b, const struct outbound_network *n)
{
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
    uint16_t port = htons(n->port);
    for (size_t i = 0; i < (n->port ? ARRAY_LEN(protocols) : 1); i++) {
        struct rule r = rule_begin(b);
        match_network(b, n);
        if (n->port) {
            meta_is(b, NFT_META_L4PROTO, protocols[i]);
            load_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(port));
            is(b, &port, sizeof(port));
        }
        accept_it(b);
        rule_end(b, r);
    }
}

static bool by_itself(const struct outbound_network *n)
{
    return n->bits == (n->family == AF_INET ? 32 : 128);
}

static void grant_necessary(struct batch *b)
{
    static const char loopback[16] = "lo";
    struct rule r = rule_begin(b);
    load_meta(b, NFT_META_OIFNAME);
    is(b, loopback, sizeof(loopback));
    accept_it(b);
    rule_end(b, r);
    // The kernel's own search for neighbours. Programs cannot send any: that takes a raw socket.
    r = rule_begin(b);
    meta_is(b, NFT_META_NFPROTO, NFPROTO_IPV6);
    meta_is(b, NFT_META_L4PROTO, IPPROTO_ICMPV6);
    accept_it(b);
    rule_end(b, r);
}

static void make_chain(struct batch *b)
{
    size_t m = message_begin(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, NLM_F_CREATE,
                             NFPROTO_INET, 0);
    put_text(b, NFTA_TABLE_NAME, TABLE);
    message_end(b, m);
    m = message_begin(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFPROTO_INET,
                      0);
    put_text(b, NFTA_CHAIN_TABLE, TABLE);
    put_text(b, NFTA_CHAIN_NAME, CHAIN);
    size_t hook = nest(b, NFTA_CHAIN_HOOK);
    put_u32(b, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
    put_u32(b, NFTA_HOOK_PRIORITY, 0);
    nest_end(b, hook);
    put_u32(b, NFTA_CHAIN_POLICY, NF_DROP);
    put_text(b, NFTA_CHAIN_TYPE, "filter");
    message_end(b, m);
}

// ---- sending it ----

static void batch_mark(struct batch *b, int type)
{
    message_end(b, message_begin(b, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

// Waits for the answer to the message with that serial; an error of any other comes first.
static int await(int fd, uint32_t serial)
{
    char answer[8192];
    for (;;) {
        ssize_t n = recv(fd, answer, sizeof(answer), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)answer; NLMSG_OK(h, (size_t)n);
             h = NLMSG_NEXT(h, n)) {
            const struct nlmsgerr *e = NLMSG_DATA(h);
            if (h->nlmsg_type != NLMSG_ERROR)
                continue;
            if (e->error < 0)
                return e->error;
            if (h->nlmsg_seq == serial)
                return 0;
        }
    }
}

static int transact(const struct batch *b, uint32_t last)
{
    const struct timeval patience = {.tv_sec = 5};
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0)
        return errno == EPROTONOSUPPORT ? -EOPNOTSUPP : -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        sendto(fd, b->at, b->len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return -errno;
    int r = await(fd, last);
    // No such subsystem, or no such expression.
    return r == -EINVAL || r == -ENOENT ? -EOPNOTSUPP : r;
}

int outbound_filter_install(const struct outbound_network *denied, unsigned n_denied,
                            const struct outbound_network *granted, unsigned n_granted)
{
    _cleanup_free_ char *room = malloc(ROOM);
    struct batch b = {.at = room};
    if (!room)
        return -ENOMEM;
    batch_mark(&b, NFNL_MSG_BATCH_BEGIN);
    make_chain(&b);
    grant_necessary(&b);
    for (unsigned i = 0; i < n_granted; i++)
        if (by_itself(&granted[i]))
            grant(&b, &granted[i]);
    for (unsigned i = 0; i < n_denied; i++)
        deny(&b, &denied[i]);
    for (unsigned i = 0; i < n_granted; i++)
        if (!by_itself(&granted[i]))
            grant(&b, &granted[i]);
    size_t last = b.len;
    struct rule r = rule_begin(&b);
    reject_it(&b);
    rule_end(&b, r);
    uint32_t serial = b.serial;
    if (!b.failed)
        ((struct nlmsghdr *)(void *)(b.at + last))->nlmsg_flags |= NLM_F_ACK;
    batch_mark(&b, NFNL_MSG_BATCH_END);
    return b.failed ? -E2BIG : transact(&b, serial);
}
