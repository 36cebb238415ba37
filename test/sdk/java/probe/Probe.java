package probe;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;

/** Does what its event asks for, and says what it sees. */
public final class Probe implements RequestHandler<Map<String, Object>, Object> {
    private static int calls;
    private static final String AT_START = System.getenv("COLOUR");

    @Override
    public Object handleRequest(Map<String, Object> event, Context context) {
        calls++;
        try {
            return answer((String) event.get("ask"), event, context);
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException("wrapped", e);
        }
    }

    /** Another method: AWS's client calls it, with its own serialization. */
    public Object other(Map<String, Object> event, Context context) {
        return handleRequest(event, context);
    }

    private static String run(String... words) throws Exception {
        Process p = new ProcessBuilder(words).redirectErrorStream(true).start();
        try (InputStream in = p.getInputStream(); Scanner s = new Scanner(in).useDelimiter("\\A")) {
            return s.hasNext() ? s.next().trim() : "";
        }
    }

    private static Map<String, Object> seen(Context c) throws Exception {
        Map<String, Object> m = new HashMap<>();
        m.put("colour", System.getenv("COLOUR"));
        m.put("atStart", AT_START);
        m.put("all", System.getenv().get("COLOUR"));
        m.put("child", run("/bin/sh", "-c", "echo $COLOUR; pwd"));
        m.put("home", String.valueOf(System.getenv("HOME")));
        m.put("file", new String(Files.readAllBytes(Paths.get("probe/note.txt")), "UTF-8"));
        m.put("directory", System.getProperty("user.dir"));
        m.put("function", c.getFunctionName());
        m.put("version", c.getFunctionVersion());
        m.put("arn", c.getInvokedFunctionArn());
        m.put("memory", c.getMemoryLimitInMB());
        m.put("group", c.getLogGroupName());
        m.put("stream", c.getLogStreamName());
        m.put("id", c.getAwsRequestId());
        m.put("left", c.getRemainingTimeInMillis());
        m.put("trace", System.getProperty("com.amazonaws.xray.traceHeader"));
        m.put("heap", Runtime.getRuntime().maxMemory() >> 20);
        m.put("loader", Thread.currentThread().getContextClassLoader() == Probe.class.getClassLoader());
        m.put("arguments", ManagementFactory.getRuntimeMXBean().getInputArguments());
        m.put("calls", calls);
        return m;
    }

    private Object answer(String ask, Map<String, Object> event, Context context) throws Exception {
        switch (ask) {
        case "see":
            return seen(context);
        case "echo":
            return event.get("value");
        case "types":
            List<String> names = new ArrayList<>();
            for (Object o : (List<?>) event.get("value"))
                names.add(o == null ? "null" : o.getClass().getSimpleName());
            return names;
        case "log":
            context.getLogger().log("two\nlines of the logger");
            System.out.print("printed \u00fc ");
            System.out.println("line");
            System.err.println("to the errors");
            return "logged";
        case "throw":
            throw new IllegalArgumentException("outer", new java.io.IOException("inner"));
        case "exit":
            System.exit(3);
            return null;
        case "memory":
            List<byte[]> kept = new ArrayList<>();
            while (true)
                kept.add(new byte[1 << 20]);
        default:
            throw new UnsupportedOperationException(ask);
        }
    }
}
