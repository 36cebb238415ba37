// starters.c - what `lambkin init` writes: one small function in every language.
//
// Where a language is compiled, the package is the folder build/ that its build makes.
#include "cli/starters.h"

#include "base/cleanup.h"

#include <stddef.h>

// clang-format off

static const struct starter_file python[] = {
{"app.py", 0644, 
"\"\"\"Greets whoever the event names.\"\"\"\n"
"\n"
"\n"
"def handler(event, context):\n"
"    name = event.get(\"name\", \"world\")\n"
"    print(\"greeting\", name)\n"
"    return {\"message\": f\"Hello, {name}!\"}\n"},
{"README.md", 0644,
"# A function in Python\n"
"\n"
"Build: nothing to build; the package is this folder.  \n"
"Run: `lambkin dev . --name greet`  \n"
"Call, in another terminal: `lambkin invoke greet '{\"name\": \"Ada\"}'`\n"},
};

static const struct starter_file nodejs[] = {
{"index.mjs", 0644, 
"// Greets whoever the event names.\n"
"export const handler = async (event) => {\n"
"    const name = event.name ?? 'world';\n"
"    console.log('greeting', name);\n"
"    return { message: `Hello, ${name}!` };\n"
"};\n"},
{"README.md", 0644,
"# A function in Node.js\n"
"\n"
"Build: nothing to build; the package is this folder.  \n"
"Run: `lambkin dev . --name greet`  \n"
"Call, in another terminal: `lambkin invoke greet '{\"name\": \"Ada\"}'`\n"},
};

static const struct starter_file typescript[] = {
{"index.ts", 0644, 
"// Greets whoever the event names.\n"
"interface Greeting {\n"
"    name?: string;\n"
"}\n"
"\n"
"export const handler = async (event: Greeting): Promise<{ message: string }> => {\n"
"    const name = event.name ?? 'world';\n"
"    console.log('greeting', name);\n"
"    return { message: `Hello, ${name}!` };\n"
"};\n"},
{"package.json", 0644, 
"{\n"
"  \"private\": true,\n"
"  \"type\": \"module\",\n"
"  \"scripts\": {\n"
"    \"build\": \"esbuild index.ts --bundle --platform=node --format=esm --target=node20 --outfile=build/index.mjs\",\n"
"    \"watch\": \"npm run build -- --watch\"\n"
"  },\n"
"  \"devDependencies\": {\n"
"    \"@types/node\": \"^20.0.0\",\n"
"    \"esbuild\": \"^0.25.0\",\n"
"    \"typescript\": \"^5.0.0\"\n"
"  }\n"
"}\n"},
{"tsconfig.json", 0644, 
"{\n"
"  \"compilerOptions\": {\n"
"    \"target\": \"es2022\",\n"
"    \"module\": \"es2022\",\n"
"    \"moduleResolution\": \"bundler\",\n"
"    \"strict\": true,\n"
"    \"noEmit\": true\n"
"  },\n"
"  \"include\": [\"index.ts\"]\n"
"}\n"},
{".gitignore", 0644, 
"build/\n"
"node_modules/\n"},
{"README.md", 0644,
"# A function in TypeScript\n"
"\n"
"Build: `npm install && npm run build`; the package is the folder `build`.  \n"
"Run: `lambkin dev build --name greet`  \n"
"Call, in another terminal: `lambkin invoke greet '{\"name\": \"Ada\"}'`\n"},
};

static const struct starter_file go[] = {
{"main.go", 0644, 
"// Greets whoever the event names.\n"
"package main\n"
"\n"
"import (\n"
"	\"context\"\n"
"	\"fmt\"\n"
"\n"
"	\"github.com/aws/aws-lambda-go/lambda\"\n"
")\n"
"\n"
"type event struct {\n"
"	Name string `json:\"name\"`\n"
"}\n"
"\n"
"type answer struct {\n"
"	Message string `json:\"message\"`\n"
"}\n"
"\n"
"func handler(_ context.Context, e event) (answer, error) {\n"
"	if e.Name == \"\" {\n"
"		e.Name = \"world\"\n"
"	}\n"
"	fmt.Println(\"greeting\", e.Name)\n"
"	return answer{\"Hello, \" + e.Name + \"!\"}, nil\n"
"}\n"
"\n"
"func main() { lambda.Start(handler) }\n"},
{"go.mod", 0644, 
"module function\n"
"\n"
"go 1.18\n"
"\n"
"require github.com/aws/aws-lambda-go v1.49.0\n"},
{"build.sh", 0755, 
"#!/bin/sh\n"
"# The executable `bootstrap`, alone in build/, is the whole package.\n"
"set -eu\n"
"cd \"$(dirname \"$0\")\"\n"
"mkdir -p build\n"
"go mod tidy\n"
"CGO_ENABLED=0 go build -tags lambda.norpc -ldflags='-s -w' -o build/bootstrap .\n"},
{".gitignore", 0644, 
"build/\n"},
{"README.md", 0644,
"# A function in Go\n"
"\n"
"Build: `sh build.sh`; the package is the folder `build`.  \n"
"Run: `lambkin dev build --name greet`  \n"
"Call, in another terminal: `lambkin invoke greet '{\"name\": \"Ada\"}'`\n"},
};

static const struct starter_file rust[] = {
{"src/main.rs", 0644, 
"//! Greets whoever the event names.\n"
"\n"
"use lambda_runtime::{run, service_fn, Error, LambdaEvent};\n"
"use serde::Deserialize;\n"
"use serde_json::{json, Value};\n"
"\n"
"#[derive(Deserialize)]\n"
"struct Greeting {\n"
"    name: Option<String>,\n"
"}\n"
"\n"
"async fn handler(event: LambdaEvent<Greeting>) -> Result<Value, Error> {\n"
"    let name = event.payload.name.unwrap_or_else(|| \"world\".into());\n"
"    println!(\"greeting {name}\");\n"
"    Ok(json!({ \"message\": format!(\"Hello, {name}!\") }))\n"
"}\n"
"\n"
"#[tokio::main(flavor = \"current_thread\")]\n"
"async fn main() -> Result<(), Error> {\n"
"    run(service_fn(handler)).await\n"
"}\n"},
{"Cargo.toml", 0644, 
"[package]\n"
"name = \"bootstrap\"\n"
"version = \"0.1.0\"\n"
"edition = \"2021\"\n"
"\n"
"[dependencies]\n"
"lambda_runtime = \"1\"\n"
"serde = { version = \"1\", features = [\"derive\"] }\n"
"serde_json = \"1\"\n"
"tokio = { version = \"1\", features = [\"macros\", \"rt\"] }\n"
"\n"
"[profile.release]\n"
"strip = true\n"},
{"build.sh", 0755, 
"#!/bin/sh\n"
"# The executable `bootstrap`, alone in build/, is the whole package.\n"
"set -eu\n"
"cd \"$(dirname \"$0\")\"\n"
"mkdir -p build\n"
"cargo build --release\n"
"cp target/release/bootstrap build/bootstrap\n"},
{".gitignore", 0644, 
"build/\n"
"target/\n"},
{"README.md", 0644,
"# A function in Rust\n"
"\n"
"Build: `sh build.sh`; the package is the folder `build`.  \n"
"Run: `lambkin dev build --name greet`  \n"
"Call, in another terminal: `lambkin invoke greet '{\"name\": \"Ada\"}'`\n"},
};

static const struct starter_file java[] = {
{"Handler.java", 0644, 
"package function;\n"
"\n"
"import com.amazonaws.services.lambda.runtime.Context;\n"
"import com.amazonaws.services.lambda.runtime.RequestHandler;\n"
"import java.util.Map;\n"
"\n"
"/** Greets whoever the event names. */\n"
"public final class Handler implements RequestHandler<Map<String, String>, Map<String, String>> {\n"
"    @Override\n"
"    public Map<String, String> handleRequest(Map<String, String> event, Context context) {\n"
"        String name = event.getOrDefault(\"name\", \"world\");\n"
"        context.getLogger().log(\"greeting \" + name + \"\\n\");\n"
"        return Map.of(\"message\", \"Hello, \" + name + \"!\");\n"
"    }\n"
"}\n"},
{"build.sh", 0755, 
"#!/bin/sh\n"
"# build.sh AWS-LAMBDA-JAVA-CORE.JAR - the classes in build/ are the whole package.\n"
"# `lambkin runtime install java` leaves that jar in DATA-DIR/runtime/java.\n"
"set -eu\n"
"core=$(realpath \"${1:?which aws-lambda-java-core.jar?}\")\n"
"cd \"$(dirname \"$0\")\"\n"
"mkdir -p build\n"
"javac --release 17 -cp \"$core\" -d build Handler.java\n"},
{".gitignore", 0644, 
"build/\n"},
{"README.md", 0644,
"# A function in Java\n"
"\n"
"Build: `sh build.sh AWS-LAMBDA-JAVA-CORE.JAR`; the package is the folder `build`.  \n"
"Run: `lambkin dev build --name greet --runtime java17 --handler function.Handler`  \n"
"Call, in another terminal: `lambkin invoke greet '{\"name\": \"Ada\"}'`\n"},
};

static const struct starter_file ruby[] = {
{"lambda_function.rb", 0644, 
"# frozen_string_literal: true\n"
"\n"
"# Greets whoever the event names.\n"
"def handler(event:, context:)\n"
"  name = event['name'] || 'world'\n"
"  puts \"greeting #{name}\"\n"
"  { message: \"Hello, #{name}!\" }\n"
"end\n"},
{"README.md", 0644,
"# A function in Ruby\n"
"\n"
"Build: nothing to build; the package is this folder.  \n"
"Run: `lambkin dev . --name greet`  \n"
"Call, in another terminal: `lambkin invoke greet '{\"name\": \"Ada\"}'`\n"},
};

static const struct starter_file c[] = {
{"bootstrap.c", 0644, 
"// A function against nothing but the Runtime API: answers every event with the event.\n"
"#define _GNU_SOURCE\n"
"#include <arpa/inet.h>\n"
"#include <stdio.h>\n"
"#include <stdlib.h>\n"
"#include <string.h>\n"
"#include <strings.h>\n"
"#include <sys/socket.h>\n"
"#include <unistd.h>\n"
"\n"
"static FILE *in, *out; // one connection to the Runtime API, read and written\n"
"\n"
"static void connect_api(void)\n"
"{\n"
"    char where[64] = \"127.0.0.1:9001\", *port;\n"
"    struct sockaddr_in to = {.sin_family = AF_INET};\n"
"    int fd = socket(AF_INET, SOCK_STREAM, 0);\n"
"\n"
"    if (getenv(\"AWS_LAMBDA_RUNTIME_API\"))\n"
"        snprintf(where, sizeof(where), \"%s\", getenv(\"AWS_LAMBDA_RUNTIME_API\"));\n"
"    port = strrchr(where, ':');\n"
"    if (port)\n"
"        *port++ = '\\0';\n"
"    to.sin_port = htons((unsigned short)strtoul(port ? port : \"80\", NULL, 10));\n"
"    if (inet_pton(AF_INET, where, &to.sin_addr) != 1 ||\n"
"        connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)\n"
"        exit(1);\n"
"    in = fdopen(fd, \"r\");\n"
"    out = fdopen(dup(fd), \"w\");\n"
"}\n"
"\n"
"// One answer: its body, to be freed, and the invocation's id when it has one.\n"
"static char *read_answer(char id[static 128], size_t *len)\n"
"{\n"
"    char line[4096], *body;\n"
"\n"
"    *len = 0;\n"
"    while (fgets(line, sizeof(line), in) && strcmp(line, \"\\r\\n\") != 0) {\n"
"        if (strncasecmp(line, \"Lambda-Runtime-Aws-Request-Id:\", 30) == 0)\n"
"            sscanf(line + 30, \" %127s\", id);\n"
"        if (strncasecmp(line, \"Content-Length:\", 15) == 0)\n"
"            *len = strtoul(line + 15, NULL, 10);\n"
"    }\n"
"    body = malloc(*len + 1);\n"
"    if (!body || fread(body, 1, *len, in) != *len || feof(in))\n"
"        exit(0); // the environment ends\n"
"    return body;\n"
"}\n"
"\n"
"int main(void)\n"
"{\n"
"    char id[128] = \"\";\n"
"    char *event;\n"
"    size_t len;\n"
"\n"
"    connect_api();\n"
"    for (;;) {\n"
"        fprintf(out, \"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: api\\r\\n\\r\\n\");\n"
"        fflush(out);\n"
"        event = read_answer(id, &len);\n"
"        fprintf(stderr, \"an event of %zu bytes\\n\", len);\n"
"        fprintf(out,\n"
"                \"POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nHost: api\\r\\n\"\n"
"                \"Content-Length: %zu\\r\\n\\r\\n\",\n"
"                id, len);\n"
"        fwrite(event, 1, len, out);\n"
"        fflush(out);\n"
"        free(event);\n"
"        free(read_answer(id, &len));\n"
"    }\n"
"}\n"},
{"Makefile", 0644, 
"# A static executable called bootstrap, alone in build/, is the whole package.\n"
"CC ?= cc\n"
"build/bootstrap: bootstrap.c\n"
"	@mkdir -p build\n"
"	$(CC) -O2 -static -Wall -Wextra -o $@ bootstrap.c\n"
"clean:\n"
"	rm -rf build\n"},
{".gitignore", 0644, 
"build/\n"},
{"README.md", 0644,
"# A function in C\n"
"\n"
"Build: `make`; the package is the folder `build`.  \n"
"Run: `lambkin dev build --name greet`  \n"
"Call, in another terminal: `lambkin invoke greet '{\"name\": \"Ada\"}'`\n"},
};

#define FILES(x) x, ARRAY_LEN(x)
const struct starter starters[] = {
    {"python", "python", FILES(python)},
    {"nodejs", "nodejs", FILES(nodejs)},
    {"typescript", NULL, FILES(typescript)},
    {"go", NULL, FILES(go)},
    {"rust", NULL, FILES(rust)},
    {"java", "java", FILES(java)},
    {"ruby", "ruby", FILES(ruby)},
    {"c", "provided", FILES(c)},
};
// clang-format on
const unsigned n_starters = ARRAY_LEN(starters);
