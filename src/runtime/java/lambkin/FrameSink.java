// FrameSink.java - where AWS's logger writes to: a message is one event, whatever newlines it holds.
package lambkin;

import com.amazonaws.services.lambda.runtime.api.client.logging.LogSink;
import com.amazonaws.services.lambda.runtime.logging.LogFormat;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;

import java.io.IOException;

final class FrameSink implements LogSink {
    private final Platform platform; // null: to nowhere

    FrameSink(Platform platform) {
        this.platform = platform;
    }

    @Override
    public void log(byte[] message) {
        if (platform == null)
            return;
        try {
            platform.send(Platform.LOG, 0, System.currentTimeMillis(), message, message.length);
        } catch (IOException e) {
            Runtime.getRuntime().halt(0);
        }
    }

    @Override
    public void log(LogLevel level, LogFormat format, byte[] message) {
        log(message);
    }

    @Override
    public void close() {
    }
}
