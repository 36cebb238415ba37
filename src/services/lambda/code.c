// code.c - packages on their way in and out: from a request into the store, and to downloads.
#include "services/lambda/lambda_impl.h"

#include "engine/auth.h"
#include "engine/sites.h"
#include "http/server.h"
#include "images/image.h"
#include "os/log.h"
#include "sandbox/client.h"
#include "services/lambda/unpack.h"
#include "wire/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define DOWNLOAD_PATH "/_lambkin/code/"
#define DOWNLOAD_VALID_S 600 // as AWS's

int code_store(struct lambda *l, struct call *c, const struct code_source *code, uint64_t max_bytes,
               bool dry_run, struct package *out, struct err *err)
{
    (void)c;
    if (code->image_uri.len > 0)
        return lambda_invalid(err, "Please don't provide ImageUri when the function's PackageType "
                                   "is Zip.");
    if (code->s3_bucket.len > 0 || code->s3_key.len > 0) {
        if (!str_is_null(code->zip))
            return lambda_invalid(err, "Please do not provide other FunctionCode parameters when "
                                       "providing a ZipFile.");
        if (str_eq(code->s3_bucket, STR(HOT_BUCKET)))
            return lambda_invalid(err, "The bucket " HOT_BUCKET " is for the code of functions.");
        return lambda_invalid(err,
                              "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 "
                              "Error Message: The specified bucket does not exist: %.*s (Lambkin "
                              "has no S3 yet: send the package as ZipFile)",
                              STR_ARG(code->s3_bucket));
    }
    if (str_is_null(code->zip))
        return lambda_invalid(err, "Please provide a source for function code.");
    if (code->zip.len > PACKAGE_MAX_ZIP_BYTES) {
        static const struct aws_error too_large = {"RequestEntityTooLargeException", NULL, 413,
                                                   true};
        return err_aws(err, &too_large,
                       "Request must be smaller than %llu bytes for the %s "
                       "operation",
                       (unsigned long long)PACKAGE_MAX_ZIP_BYTES, c->op ? c->op->name : "this");
    }
    return dry_run ? package_check(l->code_dir, code->zip, max_bytes, out, err)
                   : package_store(l->code_dir, code->zip, max_bytes, out, err);
}

int function_code_store(struct lambda *l, struct call *c, const struct code_source *code,
                        const struct config_layers *layers, bool dry_run, struct package *out,
                        struct err *err)
{
    if (str_is_null(code->zip) && code->image_uri.len == 0 &&
        str_eq(code->s3_bucket, STR(HOT_BUCKET)))
        return hot_code_store(c, code->s3_key, out, err);
    return code_store(l, c, code, PACKAGE_MAX_UNPACKED_BYTES - layers->unpacked_bytes, dry_run, out,
                      err);
}

int image_code_store(struct lambda *l, struct call *c, struct str uri, struct package *out,
                     struct err *err)
{
    struct image *image = arena_new(c->arena, struct image);
    struct keeper_status host = {0};

    if (!image)
        return err_set(err, -ENOMEM, "out of memory");
    if (runtime_keeper())
        keeper_degree(runtime_keeper(), &host);
    if (host.connected && !host.mounts)
        return lambda_invalid(err, "Container images cannot run here: they need mount namespaces, "
                                   "which this host or its isolation setting does not give.");
    int r = image_store(l->images_dir, uri, image_architecture(), c->arena, image, err);
    if (r < 0)
        return r;
    *out = (struct package){.image = true};
    memcpy(out->sha256, image->name, sizeof(out->sha256));
    return 0;
}

// The URI without its tag, with the digest: it names the same content for ever.
static struct str resolved_uri(struct call *c, const struct fn_version *v)
{
    struct str base = v->image_uri;
    ptrdiff_t path = str_find_char(base, '/'), at = str_find_char(base, '@');

    // A path has no colon, and its tag may have a slash; a registry's host may have a port.
    if (!image_uri_is_path(base))
        for (size_t i = 0; i < base.len; i++)
            path = base.ptr[i] == '/' ? (ptrdiff_t)i : path;
    if (at < 0 && path >= 0) {
        at = str_find_char(str_slice(base, (size_t)path, base.len), ':');
        at = at < 0 ? at : at + path;
    }
    if (at >= 0)
        base.len = (size_t)at;
    return arena_printf(c->arena, "%.*s@sha256:%s", STR_ARG(base), v->sha256);
}

int image_code_location(struct call *c, const struct fn_version *v,
                        struct lambda_function_code_location *out, struct err *err)
{
    out->repository_type = STR("ECR");
    out->image_uri = v->image_uri;
    out->resolved_image_uri = resolved_uri(c, v);
    return str_is_null(out->resolved_image_uri) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

void code_prepare(struct lambda *l, struct str runtime, const char *sha256, const char *layer_tree)
{
    bool python = str_starts(runtime, STR("python"));
    enum package_language language = python ? PACKAGE_PYTHON : PACKAGE_NODE;

    if (!python && !str_starts(runtime, STR("nodejs")))
        return;
    struct runtime_choice choice = runtime_choose(runtime);
    if (sha256)
        package_compile(l->code_dir, sha256, language, choice.interpreter, "/var/task");
    if (layer_tree[0])
        package_compile(l->code_dir, layer_tree, language, choice.interpreter, "/opt");
}

int code_location(struct lambda *l, struct call *c, const char *sha256, struct str *out,
                  struct err *err)
{
    const struct engine_config *config = engine_config(l->engine);
    ptrdiff_t slashes = str_find(c->base_url, STR("://"));
    struct str query;
    const struct wire_header host = {STR("host"),
                                     str_slice(c->base_url, (size_t)slashes + 3, c->base_url.len)};
    const struct wire_http_in in = {
        .method = STR("GET"),
        .path = arena_printf(c->arena, DOWNLOAD_PATH "%s", sha256),
        .headers = &host,
        .n_headers = 1,
    };
    const struct sigv4_signer signer = {
        .access_key = str_from(config->root_access_key),
        .secret_key = str_from(config->root_secret),
        .region = c->region,
        .service = STR("lambda"),
        .now_ms = c->now_ms,
    };
    int r = sigv4_presign(&signer, &in, DOWNLOAD_VALID_S, true, c->arena, &query, err);

    if (r < 0)
        return r;
    *out = arena_printf(c->arena, "%.*s%.*s?%.*s", STR_ARG(c->base_url), STR_ARG(in.path),
                        STR_ARG(query));
    return str_is_null(*out) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static void download(struct lambda *l, struct http_request *req, struct call *c)
{
    struct err err = ERR_INIT;
    uint64_t bytes;

    // Only our own presigned URLs: whoever has one may read this package and no other.
    int r = engine_authenticate(c, "lambda", &err);
    if (r < 0 || c->principal.kind != PRINCIPAL_ROOT) {
        http_respond_text(req, 403, STR("text/plain"), STR("The link is not valid.\n"));
        return;
    }
    int fd = package_open_zip(
        l->code_dir, str_slice(req->path, sizeof(DOWNLOAD_PATH) - 1, req->path.len), &bytes, &err);
    if (fd < 0) {
        http_respond_text(req, 404, STR("text/plain"), STR("There is no such package.\n"));
        return;
    }
    const struct http_header headers[] = {{STR("Content-Type"), STR("application/zip")}};
    const struct http_response response = {.status = 200, .headers = headers, .n_headers = 1};
    http_respond_file(req, &response, fd, 0, bytes);
}

static bool take_download(void *ctx, struct engine *e, struct http_request *req,
                          const struct host_name *host)
{
    (void)host;
    if (!str_starts(req->path, STR(DOWNLOAD_PATH)))
        return false;
    struct call *c = engine_call_new(e, req);
    if (!c)
        http_respond_text(req, 500, STR("text/plain"), STR("out of memory\n"));
    else if (!str_eq(req->method, STR("GET")))
        http_respond_text(req, 405, STR("text/plain"), STR("GET only\n"));
    else
        download(ctx, req, c);
    return true;
}

int code_site_open(struct engine *e, struct lambda *l, struct err *err)
{
    return engine_add_site(e, (struct engine_site){.take = take_download, .ctx = l}, err);
}
