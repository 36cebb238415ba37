// Drives a daemon with @aws-sdk/client-lambda, unmodified; prints what it saw as JSON.
// argv: endpoint, base64 of the zip, runtime, handler, function name.
import { Buffer } from 'node:buffer';
import {
    CreateFunctionCommand,
    DeleteFunctionCommand,
    GetFunctionCommand,
    InvokeCommand,
    InvokeWithResponseStreamCommand,
    LambdaClient,
    ListFunctionsCommand,
    waitUntilFunctionActiveV2,
} from '@aws-sdk/client-lambda';
import { CloudWatchLogsClient, FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';

const [endpoint, zip, runtime, handler, name, event] = process.argv.slice(2);
const settings = {
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
};
const lambda = new LambdaClient(settings);
const logs = new CloudWatchLogsClient(settings);
const seen = {};

await lambda.send(new CreateFunctionCommand({
    FunctionName: name,
    Runtime: runtime,
    Handler: handler,
    Role: 'arn:aws:iam::000000000000:role/r',
    Timeout: 30,
    Code: { ZipFile: Buffer.from(zip, 'base64') },
}));
await waitUntilFunctionActiveV2({ client: lambda, maxWaitTime: 60, minDelay: 1 },
    { FunctionName: name });
const got = await lambda.send(new GetFunctionCommand({ FunctionName: name }));
seen.location = got.Code.Location;
seen.codeBytes = (await (await fetch(got.Code.Location)).arrayBuffer()).byteLength;
seen.codeSize = got.Configuration.CodeSize;

const invoked = await lambda.send(new InvokeCommand({
    FunctionName: name, Payload: event, LogType: 'Tail' }));
seen.status = invoked.StatusCode;
seen.error = invoked.FunctionError ?? null;
seen.payload = JSON.parse(Buffer.from(invoked.Payload).toString());
seen.tail = Buffer.from(invoked.LogResult, 'base64').toString();

const streamed = await lambda.send(new InvokeWithResponseStreamCommand({
    FunctionName: name, Payload: event }));
let text = '';
for await (const part of streamed.EventStream) {
    if (part.PayloadChunk) {
        text += Buffer.from(part.PayloadChunk.Payload).toString();
    }
    if (part.InvokeComplete) {
        seen.complete = true;
    }
}
seen.streamed = JSON.parse(text);

const list = await lambda.send(new ListFunctionsCommand({}));
seen.listed = list.Functions.some((f) => f.FunctionName === name);
for (let i = 0; i < 300 && !seen.report; i++) {
    const found = await logs.send(new FilterLogEventsCommand({
        logGroupName: `/aws/lambda/${name}`, filterPattern: 'REPORT' }));
    seen.report = found.events[0]?.message;
    if (!seen.report) {
        await new Promise((r) => setTimeout(r, 100));
    }
}
await lambda.send(new DeleteFunctionCommand({ FunctionName: name }));
try {
    await lambda.send(new GetFunctionCommand({ FunctionName: name }));
} catch (e) {
    seen.missing = { name: e.name, status: e.$metadata.httpStatusCode };
}
console.log(JSON.stringify(seen));
