// process.c - the native half of ThisProcess.java: descriptors by number, and a process that
// becomes somebody's after its start (directory, variables). Loaded by the Java bootstrap.
//
// Built without a JDK: of the table of JNI functions only the few below are named, by the places
// that the JNI specification ("Interface Function Table") fixes for all versions.
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

typedef void *jobject;
struct jni_table;
typedef const struct jni_table *jni_env;

struct jni_table {
    void *before_find_class[6];
    jobject (*find_class)(jni_env *, const char *);
    void *before_exception_clear[10];
    void (*exception_clear)(jni_env *);
    void *before_get_object_class[13];
    jobject (*get_object_class)(jni_env *, jobject);
    void *before_get_field_id[62];
    void *(*get_field_id)(jni_env *, jobject, const char *, const char *);
    jobject (*get_object_field)(jni_env *, jobject, void *);
    void *before_set_int_field[13];
    void (*set_int_field)(jni_env *, jobject, void *, int32_t);
    void *before_get_static_field_id[34];
    void *(*get_static_field_id)(jni_env *, jobject, const char *, const char *);
    jobject (*get_static_object_field)(jni_env *, jobject, void *);
    void *before_get_array_length[25];
    int32_t (*get_array_length)(jni_env *, jobject);
    void *before_get_byte_array_region[28];
    void (*get_byte_array_region)(jni_env *, jobject, int32_t, int32_t, int8_t *);
};
#define PLACE(member, index)                                                                       \
    _Static_assert(__builtin_offsetof(struct jni_table, member) == (index) * sizeof(void *),       \
                   "the specification's place")
PLACE(find_class, 6);
PLACE(exception_clear, 17);
PLACE(get_object_class, 31);
PLACE(get_field_id, 94);
PLACE(get_object_field, 95);
PLACE(set_int_field, 109);
PLACE(get_static_field_id, 144);
PLACE(get_static_object_field, 145);
PLACE(get_array_length, 171);
PLACE(get_byte_array_region, 200);

#define EXPORT __attribute__((visibility("default")))
#define MAX_BYTES (1 << 20)

EXPORT void Java_lambkin_ThisProcess_setDescriptor(jni_env *e, jobject class, jobject to,
                                                   int32_t number);
EXPORT int32_t Java_lambkin_ThisProcess_changeDirectory(jni_env *e, jobject class, jobject path);
EXPORT void Java_lambkin_ThisProcess_setVariable(jni_env *e, jobject class, jobject name,
                                                 jobject value);
EXPORT jobject Java_lambkin_ThisProcess_environment(jni_env *e, jobject class);
EXPORT void Java_com_amazonaws_services_lambda_crac_DNSManager_clearCache(jni_env *e,
                                                                          jobject class);

void Java_lambkin_ThisProcess_setDescriptor(jni_env *e, jobject class, jobject to, int32_t number)
{
    void *field = (*e)->get_field_id(e, (*e)->get_object_class(e, to), "fd", "I");

    (void)class;
    if (field) // else NoSuchFieldError is on its way
        (*e)->set_int_field(e, to, field, number);
}

// The bytes of a Java array, which end with a NUL; NULL: there is none, or no memory.
static char *take(jni_env *e, jobject array)
{
    int32_t n = array ? (*e)->get_array_length(e, array) : 0;
    char *bytes = n > 0 && n <= MAX_BYTES ? malloc((size_t)n) : NULL;

    if (!bytes)
        return NULL;
    (*e)->get_byte_array_region(e, array, 0, n, (int8_t *)bytes);
    bytes[n - 1] = '\0';
    return bytes;
}

int32_t Java_lambkin_ThisProcess_changeDirectory(jni_env *e, jobject class, jobject path)
{
    char *text = take(e, path);
    int r = text ? chdir(text) : -1;

    (void)class;
    free(text);
    return r;
}

void Java_lambkin_ThisProcess_setVariable(jni_env *e, jobject class, jobject name, jobject value)
{
    char *n = take(e, name), *v = take(e, value);

    (void)class;
    if (n && v)
        setenv(n, v, 1);
    else if (n && !value)
        unsetenv(n);
    free(n);
    free(v);
}

// java.lang.ProcessEnvironment holds an unmodifiable map around the one that can be changed.
jobject Java_lambkin_ThisProcess_environment(jni_env *e, jobject class)
{
    jobject holder = (*e)->find_class(e, "java/lang/ProcessEnvironment"), outer = NULL;
    void *field = holder ? (*e)->get_static_field_id(e, holder, "theUnmodifiableEnvironment",
                                                     "Ljava/util/Map;")
                         : NULL;
    jobject inner = NULL;

    (void)class;
    if (field)
        outer = (*e)->get_static_object_field(e, holder, field);
    field = outer ? (*e)->get_field_id(e, (*e)->get_object_class(e, outer), "m", "Ljava/util/Map;")
                  : NULL;
    if (field)
        inner = (*e)->get_object_field(e, outer, field);
    else
        (*e)->exception_clear(e);
    return inner;
}

// AWS's client forgets resolved names before a snapshot is restored on another host. An environment
// here is restored where it was made.
void Java_com_amazonaws_services_lambda_crac_DNSManager_clearCache(jni_env *e, jobject class)
{
    (void)e;
    (void)class;
}
