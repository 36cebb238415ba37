// What a spare of the bootstrap loads and invokes to have done it once: an ES module.
export const handler = async (event, context) => {
    console.log(event.key);
    return { key: event.key, remaining: context.getRemainingTimeInMillis() };
};
