// lambda_impl.h - what the files of the Lambda service share. Never included outside this folder.
//
// Locks. `change` is held by every handler that changes something, from its first look at the
// tables until it has put the committed change into them: one change at a time, so that memory and
// database agree. `table` guards the tables themselves: readers hold it shared for as long as they
// look, the one changer takes it exclusively for the moment of the swap. The changer may read the
// tables without it. Order: change, then the store, then table; never the other way round.
//
// Versions and records are immutable and counted: who wants one beyond the lock takes a reference.
#ifndef LAMBKIN_SERVICES_LAMBDA_LAMBDA_IMPL_H
#define LAMBKIN_SERVICES_LAMBDA_LAMBDA_IMPL_H

#include "base/cleanup.h"
#include "base/map.h"
#include "runtime/runtime.h"
#include "services/lambda/lambda.h"
#include "services/lambda/names.h"
#include "services/lambda/packages.h"
#include "services/lambda/secrets.h"
#include "store/store.h"
#include "wire/gen/lambda.h"
#include "wire/gen/lambda_handlers.h"

#include <pthread.h>
#include <stdatomic.h>

#define LAMBDA_MAX_DOC_BYTES ((size_t)1 << 20)
#define LAMBDA_MAX_LAYERS 5 // AWS: layers per function
#define LAMBDA_LATEST "$LATEST"
// Ours for all of an account; AWS's default quota is 75 GB.
#define LAMBDA_MAX_CODE_STORAGE ((int64_t)80530636800)

// A version of a function: number 0 is $LATEST.
struct fn_version {
    atomic_uint refs;
    struct arena arena;
    uint64_t number;
    const struct lambda_function_configuration *config; // complete: what clients see
    struct function_config *snapshot;                   // what environments see
    char sha256[SHA256_HEX_BYTES];                      // of the code, or the image's name
    struct str image_uri;                               // as given; absent for a zip package
    char layer_sha256[LAMBDA_MAX_LAYERS][SHA256_HEX_BYTES];
    unsigned n_layers;
    char layer_tree[SHA256_HEX_BYTES]; // of all of them together; "" without layers
    // hot.c, under the folder's lock: a folder of the host is the code.
    struct str hot_folder; // its path; absent for a package
    struct hot_folder *hot;
    struct function_config *hot_snapshot; // what environments see since hot_changes
    uint64_t hot_changes;
    bool hot_replaced; // there is a newer version under its number: no more of them
};

// Everything else that belongs to a function, by kind and qualifier.
enum record_kind {
    RECORD_ALIAS,       // qualifier: its name
    RECORD_POLICY,      // qualifier: "", a version or an alias
    RECORD_TAGS,        // ""
    RECORD_CONCURRENCY, // "": reserved concurrency
    RECORD_PROVISIONED, // a version or an alias
    RECORD_URL,         // "" or an alias
    RECORD_ASYNC,       // "" stands for $LATEST: event invoke configuration
    RECORD_RECURSION,   // ""
    RECORD_MANAGEMENT,  // runtime management: "" or a version
    RECORD_KINDS,
};

struct fn_record {
    atomic_uint refs;
    struct arena arena;
    enum record_kind kind;
    struct str qualifier;
    const void *value; // the generated structure of record_shape(kind)
    struct str doc;
};

struct fn {
    struct arena arena;
    struct str key;                        // account/region/name
    struct str account, region, name, arn; // the ARN is unqualified
    struct fn_version **versions;          // [0] is $LATEST, then by number, ascending
    unsigned n_versions, cap_versions;
    uint64_t next_version;
    struct fn_record **records;
    unsigned n_records, cap_records;
};

struct layer_version {
    atomic_uint refs;
    struct arena arena;
    struct str key; // account/region/name/version
    struct str account, region, name;
    uint64_t number;
    char sha256[SHA256_HEX_BYTES];
    uint64_t unpacked_bytes;
    bool deleted; // kept for the functions that hold it
    const struct lambda_get_layer_version_response *value;
    struct str policy, policy_revision; // absent without one
};

struct mapping {
    atomic_uint refs;
    struct arena arena;
    struct str account, region, uuid;
    const struct lambda_event_source_mapping_configuration *value;
    struct lambda_tags tags;
};

struct lambda {
    struct engine *engine;
    struct store *store;
    char *code_dir, *images_dir;
    struct secret_key key;
    pthread_mutex_t change;
    pthread_rwlock_t table;
    atomic_uint deploying; // calls that may have stored what no table names yet: see collect.c
    struct map functions;  // key -> struct fn
    struct map layers;     // key -> struct layer_version
    struct map mappings;   // uuid -> struct mapping
    struct map urls;       // url id -> struct fn; keys live in the records
    lambda_async_accept async_accept;
    void *async_ctx;
    void (*mappings_changed)(void *ctx, struct str uuid);
    void *mappings_ctx;
};

extern struct lambda lambda_service_state;

static inline struct lambda *lambda_of(const struct call *c)
{
    return c->state;
}

// --- locks, for _cleanup_ ---

struct lambda *lambda_change(struct call *c); // takes `change`
void lambda_change_end(struct lambda **l);
struct lambda *lambda_look(struct call *c); // takes `table` shared
void lambda_look_end(struct lambda **l);

// --- table.c: functions in memory ---

struct fn_target {
    struct fn *fn;
    struct str qualifier; // absent: none was given
    struct str arn;       // as addressed, qualifier included; in the call's arena
};
// Finds the function a client means. `qualifier` may also stand in the name. AWS's errors.
int fn_find(struct lambda *l, struct call *c, struct str name, struct str qualifier,
            struct fn_target *out, struct err *err);
// The version behind the qualifier (an alias's main one). ResourceNotFoundException.
int fn_version_of(const struct fn_target *t, struct fn_version **out, struct err *err);
struct fn_version *fn_version_number(const struct fn *f, uint64_t number);
struct fn_record *fn_record_of(const struct fn *f, enum record_kind kind, struct str qualifier);
int fn_not_found(struct err *err, struct str arn);
// A page of a function's records of a kind, by qualifier; in the arena.
struct fn_page_request {
    struct str marker;
    int64_t max_items;                                   // 0: not said
    bool (*shows)(void *ctx, const struct fn_record *r); // NULL: all
    void *ctx;
};
// The beginning of one, from an input with marker and max_items.
#define FN_PAGE_ASKED(in) (in)->marker, (in)->has_max_items ? (in)->max_items : 0
struct fn_page {
    struct fn_record **list;
    size_t n;
    struct str next_marker; // absent: there are no more
};
int fn_records_page(struct call *c, const struct fn *f, enum record_kind kind,
                    const struct fn_page_request *asked, struct fn_page *out, struct err *err);
// Whether the qualifier is an alias or a version of it ("" and $LATEST are).
bool fn_qualifier_exists(const struct fn *f, struct str qualifier);
struct fn *fn_get(struct lambda *l, struct str account, struct str region, struct str name);
// Every function of an account and region, by name; in the arena. Under either lock.
int fn_list(struct lambda *l, struct arena *a, struct str account, struct str region,
            struct fn ***out, size_t *n);

struct fn *fn_new(struct str account, struct str region, struct str name);
void fn_free(struct fn *f);
// Changes of the tables, each under `table` for its moment. They take the reference given.
// -ENOMEM before anything was changed; call *_reserve before the commit, then they cannot fail.
int fn_reserve(struct lambda *l, struct fn *f);
void fn_put(struct lambda *l, struct fn *f); // a new function
void fn_remove(struct lambda *l, struct fn *f);
void fn_put_version(struct lambda *l, struct fn *f, struct fn_version *v);
void fn_remove_version(struct lambda *l, struct fn *f, uint64_t number);
void fn_put_record(struct lambda *l, struct fn *f, struct fn_record *r);
void fn_remove_record(struct lambda *l, struct fn *f, enum record_kind kind, struct str qualifier);

void fn_version_unref(struct fn_version *v);
void fn_version_unrefp(struct fn_version **v);
struct fn_version *fn_version_ref(struct fn_version *v);
void fn_record_unref(struct fn_record *r);
void fn_record_unrefp(struct fn_record **r);
// For call_defer: the output may point into it until it has been encoded.
void fn_version_hold(struct call *c, struct fn_version *v);
void fn_record_hold(struct call *c, struct fn_record *r);

// --- snapshots.c: versions from configurations ---

struct version_parts {
    struct str account, region, name;
    uint64_t number;
    const char *sha256;
    struct str image_uri, hot_folder; // absent for a package
    const char (*layer_sha256)[SHA256_HEX_BYTES];
    unsigned n_layers;
};
// A version with its own copy of `config`.
int fn_version_new(struct lambda *l, const struct version_parts *p,
                   const struct lambda_function_configuration *config, struct fn_version **out,
                   struct err *err);
// The documents that the store keeps: without the environment, and the environment alone.
int fn_version_docs(const struct fn_version *v, struct arena *a, struct str *doc,
                    struct str *environment, struct err *err);
int fn_version_from_docs(struct lambda *l, const struct version_parts *p, struct str doc,
                         struct str environment, bool environment_lost, struct fn_version **out,
                         struct err *err);
unsigned record_shape(enum record_kind kind);
const char *record_kind_name(enum record_kind kind);
int fn_record_new(enum record_kind kind, struct str qualifier, const void *value,
                  struct fn_record **out, struct err *err);
int fn_record_from_doc(enum record_kind kind, struct str qualifier, struct str doc,
                       struct fn_record **out, struct err *err);
struct str lambda_uuid(struct arena *a);             // a RevisionId
struct str lambda_time(struct arena *a, int64_t ms); // 2026-01-02T03:04:05.678+0000

// --- function_store.c: the same in the database ---

int lambda_store_open(struct lambda *l, struct err *err);
int lambda_store_load(struct lambda *l, struct err *err);
int fn_store_put(struct store_tx *tx, const struct fn *f, uint64_t next_version, struct err *err);
int fn_store_delete(struct store_tx *tx, const struct fn *f, struct err *err);
int fn_store_version(struct store_tx *tx, struct lambda *l, const struct fn *f,
                     const struct fn_version *v, struct err *err);
int fn_store_delete_version(struct store_tx *tx, const struct fn *f, uint64_t number,
                            struct err *err);
int fn_store_record(struct store_tx *tx, const struct fn *f, const struct fn_record *r,
                    struct err *err);
int fn_store_delete_record(struct store_tx *tx, const struct fn *f, enum record_kind kind,
                           struct str qualifier, struct err *err);
// Stores a record and puts it into the table: what most handlers end with. Takes the reference
// whatever the answer.
int fn_save_record(struct lambda *l, struct fn *f, struct fn_record *r, struct err *err);
int fn_drop_record(struct lambda *l, struct fn *f, enum record_kind kind, struct str qualifier,
                   struct err *err);

// --- versions.c ---

struct config_layers {
    char sha256[LAMBDA_MAX_LAYERS][SHA256_HEX_BYTES];
    unsigned n;
    uint64_t unpacked_bytes;
    char tree[SHA256_HEX_BYTES]; // once layers_merge() has made it
};
struct version_parts version_parts_of(const struct fn *f, uint64_t number, const char *sha256,
                                      const struct config_layers *layers);
// Makes the tree of the layers together; may take long the first time.
int layers_merge(struct lambda *l, struct config_layers *layers, struct err *err);
void version_layers(const struct fn_version *v, struct config_layers *out);
void version_say_pending(struct lambda_function_configuration *out);
// The published twin of a configuration: its own version, ARN and revision.
void version_as_published(struct call *c, const struct fn *f, uint64_t number,
                          struct lambda_function_configuration *config);
// DeleteFunction with a qualifier. Under `change`.
int version_delete(struct lambda *l, const struct fn_target *t, struct err *err);

// --- snapstart.c: versions whose INIT is run when they are published ---

void snapstart_open(struct lambda *l); // after the load: what was begun or made before
// A version was stored: its INIT begins if it has SnapStart. Under `change`.
void snapstart_begin(struct fn_version *v);
int snapstart_excludes_provisioned(const struct fn_version *v, struct err *err);
// Why a version cannot be invoked (yet): ResourceConflictException.
int snapstart_refuse(const struct fn_version *v, struct err *err);

// --- configs.c: from what a client asks for to a checked configuration ---

int fn_config_create(struct call *c, const struct lambda_create_function_in *in,
                     struct lambda_function_configuration *out, struct config_layers *layers,
                     struct err *err);
// `out` begins as a copy of what is.
int fn_config_update(struct call *c, const struct lambda_update_function_configuration_in *in,
                     struct lambda_function_configuration *out, struct config_layers *layers,
                     struct err *err);
// The layers that a client names, checked; `out` shows them.
int fn_config_layers(struct call *c, const struct lambda_layer_list *in,
                     struct lambda_function_configuration *out, struct config_layers *layers,
                     struct err *err);
// Only an architecture that this host has; sets config's list.
int fn_config_architectures(struct call *c, const struct lambda_architectures_list *in,
                            struct lambda_function_configuration *out, struct err *err);
// Fetches the package that `code` names and stores it. Also for layers.
struct code_source {
    struct str zip, s3_bucket, s3_key, s3_version, image_uri;
};
int code_store(struct lambda *l, struct call *c, const struct code_source *code, uint64_t max_bytes,
               bool dry_run, struct package *out, struct err *err);
// For a function: with its layers it has no more than AWS allows; also a folder of the host.
int function_code_store(struct lambda *l, struct call *c, const struct code_source *code,
                        const struct config_layers *layers, bool dry_run, struct package *out,
                        struct err *err);
// The same for a container image.
int image_code_store(struct lambda *l, struct call *c, struct str uri, struct package *out,
                     struct err *err);
// hot.c: the same for a folder of the host, by LocalStack's bucket "hot-reload".
#define HOT_BUCKET "hot-reload"
int hot_code_store(struct call *c, struct str key, struct package *out, struct err *err);
// Where GetFunction says that the code is.
int image_code_location(struct call *c, const struct fn_version *v,
                        struct lambda_function_code_location *out, struct err *err);
// "amd64" | "arm64": what images of this host's architecture say.
const char *image_architecture(void);
static inline bool fn_config_is_image(const struct lambda_function_configuration *c)
{
    return str_eq(c->package_type, STR("Image"));
}
// Compiles what the runtime of this name wants compiled, in the code (NULL: there is no package)
// and in the layers' tree.
void code_prepare(struct lambda *l, struct str runtime, const char *sha256, const char *layer_tree);
// A presigned URL of a package, for GetFunction and GetLayerVersion.
int code_location(struct lambda *l, struct call *c, const char *sha256, struct str *out,
                  struct err *err);
int code_site_open(struct engine *e, struct lambda *l, struct err *err);

// --- collect.c ---

// Removes what nothing uses: at start all of it, later what has been unused for long.
void collect_at_start(struct lambda *l);
void collect_open(struct lambda *l);
// Around whatever stores a package, a tree of layers or an image and then puts it into the tables.
struct lambda *deploy_begin(struct lambda *l);
void deploy_endp(struct lambda **l);
void collect_close(void);

// --- hot.c ---

// The folder of that path, which need not be there; *out is a reference. Does not look at it.
int hot_folder_open(const char *path, struct hot_folder **out, struct err *err);
void hot_folder_unref(struct hot_folder *h); // accepts NULL
// Refuses what cannot be together with such a folder (absent: nothing).
int hot_check(struct str folder, const struct lambda_function_configuration *config,
              struct err *err);
// What environments see of the version now: a reference. Does not block but for a look at a folder
// whose code changed.
struct function_config *fn_version_snapshot(struct fn_version *v);
// Before `by` takes the place of `old` (NULL: nobody's): from here on its snapshot is the newest.
void hot_version_replaced(struct fn_version *old, struct fn_version *by);

// --- layers.c ---

int layer_find(struct lambda *l, struct call *c, struct str arn, struct layer_version **out,
               struct err *err);
void layer_version_unref(struct layer_version *v);
int layers_store_load(struct lambda *l, struct store_tx *tx, struct err *err);
void layers_finish(struct lambda *l);

// --- mappings.c, urls.c, concurrency.c, invoke.c ---

int mappings_store_load(struct lambda *l, struct store_tx *tx, struct err *err);
// By uuid, in the caller's account and region; borrowed, under `change` or `table`.
int mapping_find(struct lambda *l, struct call *c, struct str uuid, struct mapping **out,
                 struct err *err);
// Keeps m until the call is answered.
void mapping_hold(struct call *c, struct mapping *m);
// Replaces its tags; under `change`.
int mapping_set_tags(struct lambda *l, const struct mapping *m, struct lambda_tags tags,
                     struct err *err);
// Refuses more tags than a resource can have.
int lambda_check_tags(size_t n, struct err *err);
void mappings_finish(struct lambda *l);
void urls_index(struct lambda *l, struct fn *f); // after a change of f's URLs, under `table`
void urls_unindex(struct lambda *l, struct fn *f);
void urls_finish(struct lambda *l);
// The account's and a function's concurrency to the runtime, after the load.
void concurrency_apply(struct lambda *l);
// Bytes of all packages of an account and region. Under either lock.
int64_t code_storage_used(struct lambda *l, struct str account, struct str region);
int64_t concurrency_unreserved(struct lambda *l, struct str account, struct str region);
void concurrency_apply_function(struct lambda *l, struct fn *f);
bool lambda_intercept(struct call *c);
int lambda_credentials_open(struct engine *e, struct err *err);

// RevisionId given by the client against the current one: PreconditionFailedException.
int revision_check(struct str given, struct str current, struct err *err);
int lambda_invalid(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// --- paging ---
// Items come in a fixed order of their names; a marker is the name after which to go on.
#define LAMBDA_PAGE_DEFAULT 50
static inline bool page_skips(struct str marker, struct str name)
{
    return marker.len > 0 && str_cmp(name, marker) <= 0;
}

#endif
