// gateway.mjs - an API made by the AWS SDK for JavaScript, and a WebSocket client answered through
// @connections. Prints one line of JSON.
//
//   node gateway.mjs ENDPOINT FUNCTION_ARN http
//   node gateway.mjs ENDPOINT API_ID post CONNECTION_ID TEXT
import {
    ApiGatewayV2Client, CreateApiCommand, CreateIntegrationCommand, CreateRouteCommand,
    CreateStageCommand, DeleteApiCommand, GetApiCommand, GetRoutesCommand,
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

console.log(JSON.stringify(await (what === "http" ? http() : post())));
