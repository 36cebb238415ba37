"""Infrastructure as code: Terraform's AWS provider makes, compares and removes a whole stack.

Needs terraform and a copy of hashicorp/aws on this machine (nothing is downloaded): TF_CLI_CONFIG_FILE
may name a configuration with a filesystem mirror; otherwise the folders that terraform itself looks
into are tried. Takes some minutes: the provider looks at a new queue again and again for 25 s.
"""

import glob
import json
import os
import shutil
import subprocess
import urllib.request

import pytest

from harness import build_zip, wait_until

PROVIDER = "registry.terraform.io/hashicorp/aws"
FOLDERS = ["~/.terraform.d/plugins", "/usr/local/share/terraform/plugins",
           "/usr/share/terraform/plugins"]

STACK = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {}
variable "greeting" { default = "hello" }

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  max_retries                 = 2
  endpoints {
    lambda         = var.endpoint
    iam            = var.endpoint
    sts            = var.endpoint
    sqs            = var.endpoint
    cloudwatchlogs = var.endpoint
    apigatewayv2   = var.endpoint
  }
}

resource "aws_iam_role" "run" {
  name = "tf-run"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
  tags = { stack = "tf" }
}

resource "aws_iam_policy" "queues" {
  name = "tf-queues"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["sqs:*", "logs:*"], Resource = "*" }]
  })
}

resource "aws_iam_role_policy_attachment" "queues" {
  role       = aws_iam_role.run.name
  policy_arn = aws_iam_policy.queues.arn
}

resource "aws_iam_role_policy" "inline" {
  name = "inline"
  role = aws_iam_role.run.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:GetCallerIdentity", Resource = "*" }]
  })
}

resource "aws_sqs_queue" "dead" {
  name                      = "tf-dead"
  message_retention_seconds = 1209600
}

resource "aws_sqs_queue" "work" {
  name                       = "tf-work"
  visibility_timeout_seconds = 60
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = 3
  })
  tags = { stack = "tf" }
}

resource "aws_sqs_queue" "ordered" {
  name                        = "tf-ordered.fifo"
  fifo_queue                  = true
  content_based_deduplication = true
}

resource "aws_sqs_queue_policy" "ordered" {
  queue_url = aws_sqs_queue.ordered.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow", Principal = "*", Action = "sqs:SendMessage", Resource = aws_sqs_queue.ordered.arn
    }]
  })
}

resource "aws_cloudwatch_log_group" "hello" {
  name              = "/aws/lambda/tf-hello"
  retention_in_days = 7
  tags              = { stack = "tf" }
}

resource "aws_lambda_layer_version" "words" {
  layer_name          = "tf-words"
  filename            = "layer.zip"
  source_code_hash    = filebase64sha256("layer.zip")
  compatible_runtimes = ["python3.11", "python3.12"]
  description         = "words"
}

resource "aws_lambda_function" "hello" {
  function_name                  = "tf-hello"
  role                           = aws_iam_role.run.arn
  filename                       = "code.zip"
  source_code_hash               = filebase64sha256("code.zip")
  handler                        = "app.handler"
  runtime                        = "python3.11"
  timeout                        = 20
  memory_size                    = 256
  layers                         = [aws_lambda_layer_version.words.arn]
  publish                        = true
  reserved_concurrent_executions = 5
  dead_letter_config { target_arn = aws_sqs_queue.dead.arn }
  environment { variables = { GREETING = var.greeting } }
  ephemeral_storage { size = 600 }
  tracing_config { mode = "PassThrough" }
  tags       = { stack = "tf" }
  depends_on = [aws_iam_role_policy_attachment.queues, aws_cloudwatch_log_group.hello]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "what users see"
  function_name    = aws_lambda_function.hello.function_name
  function_version = aws_lambda_function.hello.version
}

resource "aws_lambda_permission" "api" {
  statement_id  = "AllowApi"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.hello.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.http.execution_arn}/*/*"
}

resource "aws_lambda_event_source_mapping" "work" {
  event_source_arn                   = aws_sqs_queue.work.arn
  function_name                      = aws_lambda_function.hello.arn
  batch_size                         = 5
  maximum_batching_window_in_seconds = 1
  function_response_types            = ["ReportBatchItemFailures"]
  scaling_config { maximum_concurrency = 2 }
  filter_criteria {
    filter { pattern = jsonencode({ body = { kind = ["order"] } }) }
  }
  tags = { stack = "tf" }
}

resource "aws_lambda_function_url" "hello" {
  function_name      = aws_lambda_function.hello.function_name
  authorization_type = "NONE"
  cors {
    allow_origins = ["*"]
    allow_methods = ["GET"]
    max_age       = 60
  }
}

resource "aws_lambda_function_event_invoke_config" "hello" {
  function_name                = aws_lambda_function.hello.function_name
  maximum_retry_attempts       = 1
  maximum_event_age_in_seconds = 120
  destination_config {
    on_failure { destination = aws_sqs_queue.dead.arn }
  }
}

resource "aws_apigatewayv2_api" "http" {
  name          = "tf-http"
  protocol_type = "HTTP"
  description   = "made by terraform"
  cors_configuration {
    allow_origins = ["https://example.com"]
    allow_methods = ["GET", "POST"]
    max_age       = 300
  }
  tags = { stack = "tf" }
}

resource "aws_apigatewayv2_integration" "hello" {
  api_id                 = aws_apigatewayv2_api.http.id
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = aws_lambda_function.hello.invoke_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "hello" {
  api_id    = aws_apigatewayv2_api.http.id
  route_key = "GET /hello"
  target    = "integrations/${aws_apigatewayv2_integration.hello.id}"
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.http.id
  name        = "$default"
  auto_deploy = true
  default_route_settings {
    throttling_burst_limit = 50
    throttling_rate_limit  = 100
  }
}

output "queue" { value = aws_sqs_queue.work.id }
output "url" { value = aws_lambda_function_url.hello.function_url }
output "version" { value = aws_lambda_function.hello.version }
output "api" { value = aws_apigatewayv2_api.http.id }
output "mapping" { value = aws_lambda_event_source_mapping.work.arn }
"""

CODE = """
import os
import words

def handler(event, context):
    if "Records" in event:
        print("order", event["Records"][0]["body"])
        return {"batchItemFailures": []}
    return {"statusCode": 200, "body": os.environ["GREETING"] + " " + words.WORLD}
"""


def provider_is_here():
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    if named:
        return os.path.exists(named)
    return any(glob.glob(os.path.join(os.path.expanduser(f), PROVIDER, "*")) for f in FOLDERS)


class Terraform:
    def __init__(self, folder, daemon):
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("AWS_", "TF_")) or k == "TF_CLI_CONFIG_FILE"}
        self.env.update(TF_IN_AUTOMATION="1", CHECKPOINT_DISABLE="1", TF_VAR_endpoint=daemon.url,
                        AWS_EC2_METADATA_DISABLED="true")

    def __call__(self, *words, code=0):
        done = subprocess.run(["terraform", words[0], "-no-color", *words[1:]], cwd=self.folder,
                              env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=300)
        assert done.returncode == code, "terraform %s: exit %d\n%s\n%s" % (
            " ".join(words), done.returncode, done.stdout[-6000:], done.stderr[-6000:])
        return done.stdout

    def outputs(self):
        return {k: v["value"] for k, v in json.loads(self("output", "-json")).items()}


@pytest.fixture
def terraform(new_daemon, tmp_path):
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    if not provider_is_here():
        pytest.skip("no local copy of the provider hashicorp/aws (TF_CLI_CONFIG_FILE names none)")
    daemon = new_daemon()
    (tmp_path / "main.tf").write_text(STACK)
    (tmp_path / "code.zip").write_bytes(build_zip({"app.py": CODE}))
    (tmp_path / "layer.zip").write_bytes(build_zip({"python/words.py": 'WORLD = "world"\n'}))
    run = Terraform(tmp_path, daemon)
    run.daemon = daemon
    run("init", "-input=false")
    return run


def get(url, host):
    request = urllib.request.Request(url, headers={"Host": host})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


@pytest.mark.timeout(900)
def test_apply_plan_destroy(terraform):
    daemon = terraform.daemon
    terraform("apply", "-auto-approve", "-input=false")
    terraform("plan", "-detailed-exitcode", "-input=false")  # 0: what was read back is what was asked
    made = terraform.outputs()
    lam, sqs, logs = (daemon.client(s) for s in ("lambda", "sqs", "logs"))
    assert made["version"] == "1"

    # It is alive: over the API's route, over the queue with its filter, under the alias.
    assert get(daemon.url + "/hello", "%s.execute-api.localhost" % made["api"]) == "hello world"
    assert json.loads(lam.invoke(FunctionName="tf-hello:live")["Payload"].read())["body"] == \
        "hello world"
    sqs.send_message(QueueUrl=made["queue"], MessageBody=json.dumps({"kind": "order", "id": 7}))

    def seen():
        page = logs.filter_log_events(logGroupName="/aws/lambda/tf-hello", filterPattern='"order"')
        return any('"id": 7' in e["message"] for e in page["events"])
    wait_until(seen, what="the queue's message reached the function")
    assert lam.list_tags(Resource=made["mapping"])["Tags"] == {"stack": "tf"}

    # A change is a change, once.
    terraform("apply", "-auto-approve", "-input=false", "-var", "greeting=goodbye")
    terraform("plan", "-detailed-exitcode", "-input=false", "-var", "greeting=goodbye")
    assert terraform.outputs()["version"] == "2"
    assert json.loads(lam.invoke(FunctionName="tf-hello:live")["Payload"].read())["body"] == \
        "goodbye world"

    terraform("destroy", "-auto-approve", "-input=false", "-var", "greeting=goodbye")
    assert lam.list_functions()["Functions"] == []
    assert lam.list_layers()["Layers"] == []
    assert lam.list_event_source_mappings()["EventSourceMappings"] == []
    assert sqs.list_queues().get("QueueUrls", []) == []
    assert daemon.client("iam").list_roles(PathPrefix="/")["Roles"] == []
    assert daemon.client("apigatewayv2").get_apis()["Items"] == []
    assert logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/tf-hello")["logGroups"] == []
