// What a spare of the bootstrap loads and invokes to have done it once: a CommonJS function.
'use strict';

exports.handler = async (event, context) => {
    console.log('rehearsal', event);
    return { key: event.key, remaining: context.getRemainingTimeInMillis() };
};
