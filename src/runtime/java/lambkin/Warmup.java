// Warmup.java - runs what the first invocation of a function needs, so that its classes are loaded
// and its code compiled before the function is known. Off anybody's path.
//
// Nothing here may initialise AWS's LambdaEnvironment, which keeps the process's variables: the
// function's come later.
package lambkin;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.api.client.EventHandlerLoader;
import com.amazonaws.services.lambda.runtime.api.client.HandlerInfo;
import com.amazonaws.services.lambda.runtime.api.client.PojoSerializerLoader;
import com.amazonaws.services.lambda.runtime.serialization.PojoSerializer;
import com.amazonaws.services.lambda.runtime.serialization.factories.JacksonFactory;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.net.URLClassLoader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

final class Warmup {
    private static final int ROUNDS = 300; // the first compiler takes a method after 200 calls
    private static final String EVENT = "{\"name\": \"w\\u00e4rm\", \"list\": [1, 2.5, true, \"x\"],"
            + " \"map\": {\"a\": \"b\", \"n\": 12345678901}}";

    public static final class Item {
        public String name;
        public int count;
        public List<String> tags;
        public Map<String, Object> more;
    }

    // A function like any other, but for where its class is.
    public static final class Hello implements RequestHandler<Map<String, Object>, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
            Map<String, Object> answer = new HashMap<>(event);
            if (event.containsKey("fail"))
                throw new IllegalStateException("warm");
            answer.put("left", context.getRemainingTimeInMillis());
            return answer;
        }
    }

    private Warmup() {
    }

    static void run() {
        try {
            System.getenv("PATH");
            Bootstrap.logTo(new FrameSink(null));
            serialize();
            try (URLClassLoader loader = loader()) {
                invoke(loader);
                load(loader);
            }
        } catch (Throwable t) {
            // A start that is slower; the function will say what is wrong.
        }
    }

    private static void serialize() throws Throwable {
        PojoSerializer<Object> s = JacksonFactory.getInstance().getSerializer((java.lang.reflect.Type) Item.class);
        byte[] text = "{\"name\": \"a\", \"count\": 2, \"tags\": [\"x\"], \"more\": {\"k\": 1}}"
                .getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < ROUNDS / 10; i++)
            s.toJson(s.fromJson(new ByteArrayInputStream(text)), new ByteArrayOutputStream());
        java.security.Security.getProperty("networkaddress.cache.ttl");
    }

    private static byte[] frame(String event) {
        byte[][] parts = {"00000000-0000-0000-0000-000000000000".getBytes(StandardCharsets.UTF_8),
                "arn:aws:lambda:us-east-1:000000000000:function:warm".getBytes(StandardCharsets.UTF_8),
                "Root=1-0-0".getBytes(StandardCharsets.UTF_8)};
        byte[] body = event.getBytes(StandardCharsets.UTF_8);
        ByteBuffer b = ByteBuffer.allocate(1024).order(ByteOrder.LITTLE_ENDIAN);
        b.putLong(Long.MAX_VALUE);
        for (int i = 0; i < 6; i++)
            b.putInt(i < parts.length ? parts[i].length : 0);
        for (byte[] p : parts)
            b.put(p);
        b.put(body);
        return java.util.Arrays.copyOf(b.array(), b.position());
    }

    private static URLClassLoader loader() throws IOException {
        String folder = Bootstrap.home().getAbsolutePath() + "/warm";
        return FunctionLoader.of(folder, folder);
    }

    private static void invoke(URLClassLoader loader) throws Throwable {
        Handler elsewhere = plain("lambkinwarm.Hello::handleRequest", loader);
        Handler here = plain("lambkin.Warmup$Hello", loader);
        byte[] event = frame(EVENT);
        for (int i = 0; i < ROUNDS; i++)
            (i == 0 ? elsewhere : here).call(new Invocation(i, event)).toByteArray();
        try {
            here.call(new Invocation(1, frame("{\"fail\": true}")));
        } catch (IllegalStateException e) {
            new Fault(e);
        }
    }

    private static Handler plain(String name, URLClassLoader loader) throws Throwable {
        return Handler.Plain.of(HandlerInfo.fromString(name, loader), loader);
    }

    // AWS's client remembers that there is no serializer of the function's own: it must forget.
    private static void load(URLClassLoader loader) throws Throwable {
        Field initialized = PojoSerializerLoader.class.getDeclaredField("initialized");
        initialized.setAccessible(true);
        Handler.setTheirLoader(loader);
        EventHandlerLoader.loadEventHandler(HandlerInfo.fromString("lambkinwarm.Hello::pojo", loader));
        initialized.setBoolean(null, false);
    }
}
