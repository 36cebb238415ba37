// attempts.h - what the files of the hostile binary share.
#ifndef LAMBKIN_TEST_HOSTILE_ATTEMPTS_H
#define LAMBKIN_TEST_HOSTILE_ATTEMPTS_H

struct attempt {
    const char *name;
    void (*run)(void); // ends the process by one of the functions below
};
extern const struct attempt view_attempts[], power_attempts[], share_attempts[],
    neighbour_attempts[]; // NULL-terminated

_Noreturn void failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void succeeded(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The result of a system call just made: stopped by errno, or not.
_Noreturn void outcome(long r);
_Noreturn void outcome_was(long r, int error);
const char *setting(const char *name); // never NULL

#endif
