"""Terraform makes, compares and removes what API Gateway has beside functions: VPC links, models,
integrations with services, responses of WebSocket APIs, custom domain names."""

import json
import shutil

import pytest

from gateway_kit import request
from test_terraform import Terraform, provider_is_here
from websocket_kit import WebSocket

STACK = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {}
variable "answer" { default = "pong" }

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  max_retries                 = 2
  endpoints {
    iam          = var.endpoint
    sts          = var.endpoint
    sqs          = var.endpoint
    apigatewayv2 = var.endpoint
  }
}

resource "aws_iam_role" "gateway" {
  name = "tf-gateway"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow", Action = "sts:AssumeRole"
      Principal = { Service = "apigateway.amazonaws.com" }
    }]
  })
}

resource "aws_apigatewayv2_api" "http" {
  name          = "tf-http"
  protocol_type = "HTTP"
  cors_configuration {
    allow_origins = ["https://example.com"]
    allow_methods = ["GET"]
  }
}

resource "aws_apigatewayv2_vpc_link" "private" {
  name               = "tf-link"
  security_group_ids = ["sg-1"]
  subnet_ids         = ["subnet-1", "subnet-2"]
  tags               = { "lambkin:target" = "http://127.0.0.1:1" }
}

resource "aws_apigatewayv2_integration" "private" {
  api_id             = aws_apigatewayv2_api.http.id
  integration_type   = "HTTP_PROXY"
  integration_method = "ANY"
  integration_uri    = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/a/b/c"
  connection_type    = "VPC_LINK"
  connection_id      = aws_apigatewayv2_vpc_link.private.id
  tls_config { server_name_to_verify = "internal.example.com" }
  request_parameters = { "append:header.x-link" = "$context.apiId" }
  response_parameters {
    status_code = 403
    mappings    = { "overwrite:statuscode" = "404" }
  }
}

resource "aws_apigatewayv2_integration" "events" {
  api_id              = aws_apigatewayv2_api.http.id
  integration_type    = "AWS_PROXY"
  integration_subtype = "EventBridge-PutEvents"
  credentials_arn     = aws_iam_role.gateway.arn
  request_parameters  = { Source = "tf", DetailType = "t", Detail = "$request.body" }
}

resource "aws_apigatewayv2_route" "private" {
  api_id    = aws_apigatewayv2_api.http.id
  route_key = "ANY /private/{proxy+}"
  target    = "integrations/${aws_apigatewayv2_integration.private.id}"
}

resource "aws_apigatewayv2_route" "events" {
  api_id    = aws_apigatewayv2_api.http.id
  route_key = "POST /events"
  target    = "integrations/${aws_apigatewayv2_integration.events.id}"
}

resource "aws_apigatewayv2_deployment" "http" {
  api_id = aws_apigatewayv2_api.http.id
  depends_on = [aws_apigatewayv2_route.private, aws_apigatewayv2_route.events]
}

resource "aws_apigatewayv2_stage" "http" {
  api_id        = aws_apigatewayv2_api.http.id
  name          = "live"
  deployment_id = aws_apigatewayv2_deployment.http.id
  stage_variables = { k = "v" }
  default_route_settings {
    throttling_burst_limit = 100
    throttling_rate_limit  = 50
  }
}

resource "aws_apigatewayv2_domain_name" "api" {
  domain_name = "api.tf.example.com"
  domain_name_configuration {
    certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/a"
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "api" {
  api_id          = aws_apigatewayv2_api.http.id
  domain_name     = aws_apigatewayv2_domain_name.api.id
  stage           = aws_apigatewayv2_stage.http.id
  api_mapping_key = "v1"
}

resource "aws_apigatewayv2_api" "ws" {
  name                       = "tf-ws"
  protocol_type              = "WEBSOCKET"
  route_selection_expression = "$request.body.action"
}

resource "aws_apigatewayv2_model" "ping" {
  api_id       = aws_apigatewayv2_api.ws.id
  content_type = "application/json"
  name         = "Ping"
  schema       = jsonencode({ type = "object", required = ["n"] })
}

resource "aws_apigatewayv2_integration" "mock" {
  api_id                        = aws_apigatewayv2_api.ws.id
  integration_type              = "MOCK"
  template_selection_expression = "200"
  request_templates             = { "200" = "{\\"statusCode\\": 200}" }
}

resource "aws_apigatewayv2_integration_response" "mock" {
  api_id                   = aws_apigatewayv2_api.ws.id
  integration_id           = aws_apigatewayv2_integration.mock.id
  integration_response_key = "$default"
  response_templates       = { "$default" = var.answer }
}

resource "aws_apigatewayv2_route" "ping" {
  api_id                              = aws_apigatewayv2_api.ws.id
  route_key                           = "ping"
  target                              = "integrations/${aws_apigatewayv2_integration.mock.id}"
  route_response_selection_expression = "$default"
  model_selection_expression          = "$request.body.action"
  request_models                      = { ping = aws_apigatewayv2_model.ping.name }
}

resource "aws_apigatewayv2_route_response" "ping" {
  api_id             = aws_apigatewayv2_api.ws.id
  route_id           = aws_apigatewayv2_route.ping.id
  route_response_key = "$default"
}

resource "aws_apigatewayv2_stage" "ws" {
  api_id      = aws_apigatewayv2_api.ws.id
  name        = "live"
  auto_deploy = true
}

output "http" { value = aws_apigatewayv2_api.http.id }
output "ws" { value = aws_apigatewayv2_api.ws.api_endpoint }
output "target" { value = aws_apigatewayv2_domain_name.api.domain_name_configuration[0].target_domain_name }
"""


@pytest.fixture
def terraform(new_daemon, tmp_path):
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    if not provider_is_here():
        pytest.skip("no local copy of the provider hashicorp/aws (TF_CLI_CONFIG_FILE names none)")
    (tmp_path / "main.tf").write_text(STACK)
    daemon = new_daemon()
    run = Terraform(tmp_path, daemon)
    run.daemon = daemon
    run("init", "-input=false")
    return run


def ask(daemon, endpoint, message):
    ws = WebSocket(daemon.port, endpoint.split("//")[1], "/live")
    ws.send(json.dumps(message))
    try:
        return ws.text()
    finally:
        ws.close()


@pytest.mark.timeout(900)
def test_apply_plan_destroy(terraform):
    daemon = terraform.daemon
    terraform("apply", "-auto-approve", "-input=false")
    terraform("plan", "-detailed-exitcode", "-input=false")  # 0: what was read back is what was asked
    made = terraform.outputs()
    host = made["http"] + ".execute-api.us-east-1.localhost"
    r, data = request(daemon, host, "POST", "/live/events", b"{}")
    assert r.status == 501 and b"EventBridge" in data
    assert request(daemon, host, "GET", "/live/private/x")[0].status == 502  # nobody listens there
    r, _ = request(daemon, "api.tf.example.com", "POST", "/v1/events", b"{}")
    assert r.status == 501 and made["target"].startswith("d-")
    assert ask(daemon, made["ws"], {"action": "ping", "n": 1}) == "pong"
    assert "Invalid request body" in ask(daemon, made["ws"], {"action": "ping"})

    change = ("-var", "answer=again")
    terraform("apply", "-auto-approve", "-input=false", *change)
    terraform("plan", "-detailed-exitcode", "-input=false", *change)
    assert ask(daemon, made["ws"], {"action": "ping", "n": 1}) == "again"
    terraform("destroy", "-auto-approve", "-input=false", *change)
    gw = daemon.client("apigatewayv2")
    assert gw.get_apis()["Items"] == gw.get_vpc_links()["Items"] == []
    assert gw.get_domain_names()["Items"] == []
