// Invocation.java - an INVOKE frame taken apart.
package lambkin;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

final class Invocation {
    private static final int FIELDS = 6, HEAD = 8 + 4 * FIELDS;

    final long sequence, deadline; // ms since the epoch
    final byte[] frame;
    final int eventAt; // to the frame's end
    final String requestId, arn, traceId, clientContext, identity; // null: absent

    Invocation(long sequence, byte[] frame) {
        String[] fields = new String[FIELDS];
        int at = HEAD;
        for (int i = 0; i < FIELDS; i++) {
            int n = (int) Platform.number(frame, 8 + 4 * i, 4);
            fields[i] = n == 0 ? null : new String(frame, at, n, StandardCharsets.UTF_8);
            at += n;
        }
        this.sequence = sequence;
        this.frame = frame;
        deadline = Platform.number(frame, 0, 8);
        eventAt = at;
        requestId = fields[0];
        arn = fields[1];
        traceId = fields[2];
        clientContext = fields[3];
        identity = fields[4];
    }

    byte[] event() {
        return Arrays.copyOfRange(frame, eventAt, frame.length);
    }
}
