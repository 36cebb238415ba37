// Greets, and says where it runs. An ES module with top-level state, as on AWS.
let calls = 0;

export const handler = async (event, context) => {
    calls += 1;
    console.log('event', JSON.stringify(event));
    return {
        message: `Hello, ${event.name ?? 'world'}!`,
        runtime: `Node.js ${process.version}`,
        'calls of this environment': calls,
        'ms left': context.getRemainingTimeInMillis(),
    };
};
