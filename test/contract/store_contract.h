// store_contract.h - what every implementation of store.h must do; see store_contract.c.
#ifndef LAMBKIN_TEST_CONTRACT_STORE_CONTRACT_H
#define LAMBKIN_TEST_CONTRACT_STORE_CONTRACT_H

#include "store/store.h"

// Makes what the path or address of a database that does not exist yet, and takes it away.
struct store_contract {
    const char *name;
    int (*make_place)(char *place, size_t size);
    void (*remove_place)(const char *place);
};

// Runs every case against the implementation; answers the number of failures.
int store_contract_run(const struct store_contract *implementation);

#endif
