// Platform.java - the framed protocol of src/runtime/framed.h on descriptor 3: one frame in, frames
// out. Writing is for any thread, reading for the one that takes the invocations.
package lambkin;

import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;

final class Platform {
    static final int INIT = 1, INVOKE = 2, RESTORE = 3;
    static final int READY = 16, INIT_ERROR = 17, RESPONSE = 18, ERROR = 19, LOG = 24,
            RESTORED = 26, RESTORE_ERROR = 27, WARM = 28;
    static final int LEAVING = 1; // flag of ERROR: no invocation any more
    private static final int HEADER = 16;

    // The frame that receive() read.
    int kind;
    long sequence;
    byte[] body;

    private final FileInputStream in;
    private final FileOutputStream out;
    private final byte[] head = new byte[HEADER];

    Platform(int descriptor) {
        FileDescriptor fd = new FileDescriptor();
        ThisProcess.setDescriptor(fd, descriptor);
        in = new FileInputStream(fd);
        out = new FileOutputStream(fd);
    }

    // Ends the process when the platform has gone.
    void receive() throws IOException {
        fill(head, HEADER);
        int length = (int) number(head, 0, 4);
        kind = head[4];
        sequence = number(head, 8, 8);
        body = new byte[length];
        fill(body, length);
    }

    private void fill(byte[] to, int n) throws IOException {
        for (int at = 0; at < n;) {
            int got = in.read(to, at, n - at);
            if (got <= 0)
                Runtime.getRuntime().halt(0);
            at += got;
        }
    }

    static long number(byte[] from, int at, int bytes) {
        long value = 0;
        for (int i = bytes - 1; i >= 0; i--)
            value = value << 8 | (from[at + i] & 0xff);
        return value;
    }

    private static void put(byte[] to, int at, int bytes, long value) {
        for (int i = 0; i < bytes; i++, value >>>= 8)
            to[at + i] = (byte) value;
    }

    synchronized void send(int kind, int flags, long sequence, byte[] body, int length)
            throws IOException {
        byte[] frame = new byte[HEADER + length];
        put(frame, 0, 4, length);
        frame[4] = (byte) kind;
        frame[5] = (byte) flags;
        put(frame, 8, 8, sequence);
        System.arraycopy(body, 0, frame, HEADER, length);
        out.write(frame);
    }

    void send(int kind, long sequence) throws IOException {
        send(kind, 0, sequence, new byte[0], 0);
    }

    void sendError(int kind, int flags, long sequence, byte[] type, byte[] json)
            throws IOException {
        byte[] body = new byte[4 + type.length + json.length];
        put(body, 0, 4, type.length);
        System.arraycopy(type, 0, body, 4, type.length);
        System.arraycopy(json, 0, body, 4 + type.length, json.length);
        send(kind, flags, sequence, body, body.length);
    }
}
