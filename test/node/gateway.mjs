// gateway.mjs - an API made by the AWS SDK for JavaScript, and a WebSocket client answered through
// @connections. Prints one line of JSON.
//
//   node gateway.mjs ENDPOINT FUNCTION_ARN http
//   node gateway.mjs ENDPOINT QUEUE_URL parts
//   node gateway.mjs ENDPOINT API_ID post CONNECTION_ID TEXT
import {
    ApiGatewayV2Client, CreateApiCommand, CreateIntegrationCommand, CreateRouteCommand,
    CreateIntegrationResponseCommand, CreateModelCommand, CreateRouteResponseCommand,
    CreateStageCommand, CreateVpcLinkCommand, DeleteApiCommand, DeleteVpcLinkCommand,
    GetApiCommand, GetModelTemplateCommand, GetRoutesCommand,
} from "@aws-sdk/client-apigatewayv2";
import {
    ApiGatewayManagementApiClient, GetConnectionCommand, PostToConnectionCommand,
} from "@aws-sdk/client-apigatewaymanagementapi";

const [endpoint, subject, what, ...rest] = process.argv.slice(2);
const options = {
    region: "us-east-1", credentials: { accessKeyId: "test", secretAccessKey: "test" },
};

async function http() {
    const gw = new ApiGatewayV2Client({ ...options, endpoint });
    const { ApiId } = await gw.send(new CreateApiCommand({ Name: "js", ProtocolType: "HTTP" }));
    const { IntegrationId } = await gw.send(new CreateIntegrationCommand({
        ApiId, IntegrationType: "AWS_PROXY", IntegrationUri: subject, PayloadFormatVersion: "2.0",
    }));
    await gw.send(new CreateRouteCommand({
        ApiId, RouteKey: "GET /js/{x}", Target: `integrations/${IntegrationId}`,
    }));
    await gw.send(new CreateStageCommand({ ApiId, StageName: "$default", AutoDeploy: true }));
    const api = await gw.send(new GetApiCommand({ ApiId }));
    const routes = await gw.send(new GetRoutesCommand({ ApiId }));
    const event = await (await fetch(`${endpoint}/_api/${ApiId}/js/1?q=2`)).json();
    await gw.send(new DeleteApiCommand({ ApiId }));
    const missing = await gw.send(new GetApiCommand({ ApiId })).catch((e) => e.name);
    return {
        name: api.Name, created: api.CreatedDate instanceof Date,
        keys: routes.Items.map((r) => r.RouteKey), event, missing,
    };
}

// What an API has beside functions: a service, a model, responses, a VPC link.
async function parts() {
    const gw = new ApiGatewayV2Client({ ...options, endpoint });
    const { ApiId } = await gw.send(new CreateApiCommand({ Name: "js", ProtocolType: "HTTP" }));
    const { IntegrationId } = await gw.send(new CreateIntegrationCommand({
        ApiId, IntegrationType: "AWS_PROXY", IntegrationSubtype: "SQS-SendMessage",
        CredentialsArn: "arn:aws:iam::000000000000:role/r", PayloadFormatVersion: "1.0",
        RequestParameters: { QueueUrl: subject, MessageBody: "$request.body.text" },
    }));
    await gw.send(new CreateRouteCommand({
        ApiId, RouteKey: "POST /send", Target: `integrations/${IntegrationId}`,
    }));
    await gw.send(new CreateStageCommand({ ApiId, StageName: "$default", AutoDeploy: true }));
    const sent = await fetch(`${endpoint}/_api/${ApiId}/send`, {
        method: "POST", body: JSON.stringify({ text: "from js" }),
    });
    const link = await gw.send(new CreateVpcLinkCommand({ Name: "l", SubnetIds: ["s-1"] }));
    await gw.send(new DeleteVpcLinkCommand({ VpcLinkId: link.VpcLinkId }));
    const ws = (await gw.send(new CreateApiCommand({
        Name: "js-ws", ProtocolType: "WEBSOCKET", RouteSelectionExpression: "$request.body.action",
    }))).ApiId;
    const model = await gw.send(new CreateModelCommand({
        ApiId: ws, Name: "M", Schema: JSON.stringify({ properties: { a: { type: "string" } } }),
    }));
    const template = await gw.send(new GetModelTemplateCommand({
        ApiId: ws, ModelId: model.ModelId,
    }));
    const mock = await gw.send(new CreateIntegrationCommand({ ApiId: ws, IntegrationType: "MOCK" }));
    const response = await gw.send(new CreateIntegrationResponseCommand({
        ApiId: ws, IntegrationId: mock.IntegrationId, IntegrationResponseKey: "$default",
    }));
    const route = await gw.send(new CreateRouteCommand({ ApiId: ws, RouteKey: "x" }));
    const routeResponse = await gw.send(new CreateRouteResponseCommand({
        ApiId: ws, RouteId: route.RouteId, RouteResponseKey: "$default",
    }));
    for (const id of [ApiId, ws])
        await gw.send(new DeleteApiCommand({ ApiId: id }));
    return {
        sent: sent.status, link: link.VpcLinkStatus, template: JSON.parse(template.Value),
        response: response.IntegrationResponseKey, route: routeResponse.RouteResponseKey,
    };
}

async function post() {
    const client = new ApiGatewayManagementApiClient({
        ...options, endpoint: `${endpoint}/_api/${subject}/live`,
    });
    const [ConnectionId, text] = rest;
    await client.send(new PostToConnectionCommand({ ConnectionId, Data: Buffer.from(text) }));
    const { Identity } = await client.send(new GetConnectionCommand({ ConnectionId }));
    const gone = await client.send(new GetConnectionCommand({ ConnectionId: "none" }))
        .catch((e) => e.name);
    return { ip: Identity.SourceIp, gone };
}

console.log(JSON.stringify(await { http, parts, post }[what]()));
