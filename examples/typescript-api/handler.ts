// A small API in API Gateway's shape: routes by method and path, JSON in and out.
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';

interface Note {
    id: number;
    text: string;
}

const notes: Note[] = [{ id: 1, text: 'written in TypeScript' }];

const json = (statusCode: number, body: unknown): APIGatewayProxyStructuredResultV2 => ({
    statusCode,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
});

const bodyOf = (event: APIGatewayProxyEventV2): string =>
    event.isBase64Encoded ? Buffer.from(event.body ?? '', 'base64').toString() : event.body ?? '';

export const handler = async (
    event: APIGatewayProxyEventV2,
    context: Context,
): Promise<APIGatewayProxyStructuredResultV2> => {
    const method = event.requestContext?.http?.method ?? 'GET';
    const path = event.rawPath ?? '/';

    console.log(method, path, context.awsRequestId);
    if (path === '/notes' && method === 'GET') {
        return json(200, notes);
    }
    if (path === '/notes' && method === 'POST') {
        let text: unknown;
        try {
            text = JSON.parse(bodyOf(event)).text;
        } catch {
            return json(400, { message: 'the body is not JSON' });
        }
        if (typeof text !== 'string' || text === '') {
            return json(400, { message: 'text is missing' });
        }
        const note = { id: notes.length + 1, text };
        notes.push(note);
        return json(201, note);
    }
    return json(404, { message: `nothing at ${method} ${path}` });
};
