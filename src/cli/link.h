// link.h - what main and its two children agree on: descriptor numbers and messages.
//
// Main starts `lambkin keeper` and `lambkin server` from its own executable with these descriptors
// and nothing else. Between main and server runs a seqpacket socket with the messages below; main
// and keeper speak what sandbox/keeper.h says. The end of either socket means that main is gone.
#ifndef LAMBKIN_CLI_LINK_H
#define LAMBKIN_CLI_LINK_H

#include <stdint.h>

enum link_fd {
    LINK_FD_SETTINGS = 3, // memory file, settings_load_text()
    LINK_FD_MAIN = 4,     // seqpacket socket to main
    LINK_FD_LOCK = 5,     // the data directory's lock: it is free when the last holder has gone
    LINK_FD_KEEPER = 6,   // server only: a connection to the keeper
    LINK_FD_LISTENER = 7, // server only
    LINK_FD_TLS = 8,      // server only, with run-has-tls
};

enum link_kind {
    LINK_READY = 1,  // server to main: requests are answered from now on
    LINK_KEEPER = 2, // main to server, with a descriptor: the keeper was started anew
    LINK_STOP = 3,   // main to server: finish running invocations for limit_ms, then exit
};

struct link_message {
    uint32_t kind;
    uint32_t limit_ms;
};

int keeper_child_main(int argc, char **argv);
int server_child_main(int argc, char **argv);

#endif
