// sqs.mjs URL NAME - the life of two queues by the AWS SDK for JavaScript, which checks the MD5 of
// what it sends and receives; prints what it saw as one line of JSON.
import {
    SQSClient, CreateQueueCommand, SendMessageCommand, SendMessageBatchCommand,
    ReceiveMessageCommand, DeleteMessageCommand, ChangeMessageVisibilityCommand,
    GetQueueAttributesCommand, DeleteQueueCommand, GetQueueUrlCommand,
} from '@aws-sdk/client-sqs';

const [, , endpoint, name] = process.argv;
const sqs = new SQSClient({
    endpoint, region: 'us-east-1', maxAttempts: 1,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
});
const seen = {};
const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name }));
const sent = await sqs.send(new SendMessageCommand({
    QueueUrl, MessageBody: 'hello \u2713',
    MessageAttributes: {
        text: { DataType: 'String', StringValue: '\u00e4' },
        bytes: { DataType: 'Binary', BinaryValue: Uint8Array.from([0, 1, 255]) },
    },
}));
const got = await sqs.send(new ReceiveMessageCommand({
    QueueUrl, MessageAttributeNames: ['All'], MessageSystemAttributeNames: ['All'],
}));
const [message] = got.Messages;
seen.body = message.Body;
seen.sameId = message.MessageId === sent.MessageId;
seen.text = message.MessageAttributes.text.StringValue;
seen.bytes = Array.from(message.MessageAttributes.bytes.BinaryValue);
seen.receives = message.Attributes.ApproximateReceiveCount;
await sqs.send(new ChangeMessageVisibilityCommand({
    QueueUrl, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 60,
}));
await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle }));
const batch = await sqs.send(new SendMessageBatchCommand({
    QueueUrl, Entries: [{ Id: 'a', MessageBody: 'A' }, { Id: 'b', MessageBody: '\u0001' }],
}));
seen.batch = [batch.Successful.map((e) => e.Id), batch.Failed.map((e) => e.Code)];
const counts = await sqs.send(new GetQueueAttributesCommand({
    QueueUrl, AttributeNames: ['ApproximateNumberOfMessages'],
}));
seen.count = counts.Attributes.ApproximateNumberOfMessages;

const fifo = (await sqs.send(new CreateQueueCommand({
    QueueName: name + '.fifo', Attributes: { FifoQueue: 'true', ContentBasedDeduplication: 'true' },
}))).QueueUrl;
const first = await sqs.send(new SendMessageCommand({
    QueueUrl: fifo, MessageBody: '1', MessageGroupId: 'g',
}));
const again = await sqs.send(new SendMessageCommand({
    QueueUrl: fifo, MessageBody: '1', MessageGroupId: 'g',
}));
seen.deduplicated = first.MessageId === again.MessageId &&
    first.SequenceNumber === again.SequenceNumber;
await sqs.send(new DeleteQueueCommand({ QueueUrl: fifo }));
await sqs.send(new DeleteQueueCommand({ QueueUrl }));
try {
    await sqs.send(new GetQueueUrlCommand({ QueueName: name }));
} catch (e) {
    seen.missing = { name: e.name, status: e.$metadata.httpStatusCode };
}
console.log(JSON.stringify(seen));
