// protocol.h - the messages between server and keeper, and between keeper and pid 1: the codec.
//
// A message is one seqpacket datagram: a fixed header, then typed fields in a fixed order. Every
// count and length is checked against the bounds of spec.h and against the message's own end
// before it is used; a message with bytes left over is malformed as well. Decoded strings point
// into the message. Not part of the room's public face.
#ifndef LAMBKIN_SANDBOX_PROTOCOL_H
#define LAMBKIN_SANDBOX_PROTOCOL_H

#include "sandbox/client.h"
#include "sandbox/spec.h"

#include <sys/types.h>

#define PROTOCOL_MAGIC 0x4b4d424cu // "LBMK"
#define PROTOCOL_MAX_BYTES ((size_t)128 * 1024)
#define PROTOCOL_MAX_FDS 8

enum protocol_kind {
    // towards the keeper
    PROTOCOL_ATTACH = 1, // a descriptor: a further connection
    PROTOCOL_STOP,       // main only: end
    PROTOCOL_START,
    PROTOCOL_INJECT,
    PROTOCOL_EXEC,
    PROTOCOL_SIGNAL,
    PROTOCOL_FREEZE,
    PROTOCOL_THAW,
    PROTOCOL_KILL,
    PROTOCOL_CONNECT, // port
    PROTOCOL_SETTLE,  // INIT is over
    PROTOCOL_LAST_REQUEST = PROTOCOL_SETTLE,
    // from the keeper
    PROTOCOL_HELLO = 32, // status
    PROTOCOL_STARTED,    // with descriptors
    PROTOCOL_DONE,       // r, program, reason; a descriptor where one was asked for
    PROTOCOL_EXITED,
    // keeper to pid 1 and back
    PID1_EXEC = 64, // number, enum pid1_gift, program; descriptor: the gift
    PID1_SIGNAL,
    PID1_MOUNTS, // descriptors: the mount namespace and a file at /tmp
    PID1_READY,
    PID1_FAILED, // set-up: errno and step
    PID1_EXITED, // a program: status
    PID1_EXEC_FAILED,
    PID1_WATCH,    // bytes of memory; descriptors: its use, event_control, an eventfd (v1)
    PID1_WATCHING, // errno
};

// What the descriptor of PID1_EXEC is to the program.
enum pid1_gift { PID1_GIFT_NONE, PID1_GIFT_CONTROL, PID1_GIFT_OUTPUT };

struct protocol_header {
    uint32_t magic;
    uint32_t kind;
    uint64_t id;     // the sandbox, 0 where there is none
    uint32_t serial; // echoed by STARTED and DONE
    uint32_t bytes;  // of the whole message
};

struct protocol_writer {
    char *at; // PROTOCOL_MAX_BYTES of room
    size_t len;
    bool failed;
};
void protocol_begin(struct protocol_writer *w, char *room, enum protocol_kind kind, uint64_t id,
                    uint32_t serial);
void protocol_put_u32(struct protocol_writer *w, uint32_t v);
void protocol_put_u64(struct protocol_writer *w, uint64_t v);
void protocol_put_text(struct protocol_writer *w, const char *s); // NULL as ""
void protocol_put_binding(struct protocol_writer *w, const struct sandbox_binding *b);
void protocol_put_program(struct protocol_writer *w, const struct sandbox_program *p);
// Fills in the length: how many bytes to send, or -EMSGSIZE.
ssize_t protocol_end(struct protocol_writer *w);

struct protocol_reader {
    char *at, *end; // strings come NUL-terminated on the wire
    bool failed;
};
// Checks the header: 0 or -EPROTO.
int protocol_open(struct protocol_reader *r, char *bytes, size_t len, struct protocol_header *h);
uint32_t protocol_get_u32(struct protocol_reader *r);
uint64_t protocol_get_u64(struct protocol_reader *r);
const char *protocol_get_text(struct protocol_reader *r, size_t max); // never NULL
void protocol_get_binding(struct protocol_reader *r, struct sandbox_binding *b);
void protocol_get_program(struct protocol_reader *r, struct sandbox_program *p);
// 0, or -EPROTO when a field was malformed or bytes are left over.
int protocol_close(const struct protocol_reader *r);

// Whole messages with more than a field or two.
ssize_t protocol_write_start(char *room, uint32_t serial, const struct sandbox_spec *s);
int protocol_read_start(struct protocol_reader *r, uint64_t id, struct sandbox_spec *s);
ssize_t protocol_write_status(char *room, const struct keeper_status *s);
int protocol_read_status(struct protocol_reader *r, struct keeper_status *s);
ssize_t protocol_write_exit(char *room, const struct sandbox_exit *e);
int protocol_read_exit(struct protocol_reader *r, uint64_t id, struct sandbox_exit *e);
// EXEC's: own_output, a pipe of the program's own instead of the sandbox's.
int protocol_read_exec(struct protocol_reader *r, struct sandbox_program *p, bool *own_output);
// CONNECT's: -EPROTO but for 1 to 65535.
int protocol_read_connect(struct protocol_reader *r, uint16_t *port);

// STARTED: which of its descriptors come, in this order.
enum {
    STARTED_OUTPUT = 1,
    STARTED_CONTROL = 2,
    STARTED_RUNTIME_API = 4,
    STARTED_ENDPOINT = 8,
    STARTED_MEMORY = 16,
    STARTED_FREEZER = 32,
    STARTED_TMP = 64,
};

#endif
