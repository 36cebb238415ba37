// Bootstrap.java - the managed runtime of Java functions, 8 and newer.
//
// Speaks the framed protocol on descriptor 3: waits for INIT (as a spare, with `--spare`, long
// after its start and warmed up), finds the handler, then answers INVOKE frames one by one. Handlers,
// events, context, errors and log are AWS's: either by the runtime interface client itself or, for
// plain values, as it does them (Handler). Compiled by `lambkin runtime install java`.
package lambkin;

import com.amazonaws.services.lambda.crac.Core;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.api.client.UserFault;
import com.amazonaws.services.lambda.runtime.api.client.logging.LambdaContextLogger;
import com.amazonaws.services.lambda.runtime.api.client.logging.LogSink;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.RapidErrorType;
import com.amazonaws.services.lambda.runtime.logging.LogFormat;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.net.URLClassLoader;
import java.util.Map;

public final class Bootstrap {
    private static final int CONTROL = 3;
    private static final String TRACE_PROPERTY = "com.amazonaws.xray.traceHeader";

    private Bootstrap() {
    }

    public static void main(String[] args) throws Throwable {
        String mode = args.length > 0 ? args[0] : "";
        System.load(new File(home(), "process.so").getAbsolutePath());
        Platform platform = new Platform(CONTROL);
        System.setOut(unbuffered(FileDescriptor.out));
        System.setErr(unbuffered(FileDescriptor.err));
        if (mode.equals("--archive")) { // what was loaded by then is in the archive of classes
            Warmup.run();
            return;
        }
        if (mode.equals("--spare")) {
            if (!ThisProcess.canBecome())
                Runtime.getRuntime().halt(70);
            Warmup.run();
            platform.send(Platform.WARM, 0);
        }
        platform.receive();
        if (platform.kind != Platform.INIT)
            Runtime.getRuntime().halt(70);
        serve(platform, init(platform, mode.equals("--spare")));
    }

    // Where the class path's first entry is, and the rest of this runtime with it.
    static File home() {
        String path = System.getProperty("java.class.path");
        return new File(path.substring(0, path.indexOf(File.pathSeparatorChar))).getParentFile();
    }

    private static PrintStream unbuffered(FileDescriptor fd) throws IOException {
        return new PrintStream(new FileOutputStream(fd), false, "UTF-8");
    }

    // ---- INIT ----------------------------------------------------------------------------------

    @SuppressWarnings("unchecked")
    private static Handler init(Platform platform, boolean spare) throws Throwable {
        Map<String, Object> init =
                (Map<String, Object>) Json.read(platform.body, 0, platform.body.length);
        long sequence = platform.sequence;
        if (spare) {
            ThisProcess.become((Map<String, Object>) init.get("env"));
            ThisProcess.enter((String) init.get("task_root"));
        }
        String ttl = System.getenv("AWS_LAMBDA_JAVA_NETWORKADDRESS_CACHE_NEGATIVE_TTL");
        if (ttl != null)
            java.security.Security.setProperty("networkaddress.cache.negative.ttl", ttl);
        logTo(new FrameSink(platform));
        URLClassLoader loader = FunctionLoader.of((String) init.get("task_root"),
                                                  init.get("layer_root") + "/java");
        Thread.currentThread().setContextClassLoader(loader);
        String name = System.getenv("_HANDLER");
        try {
            Handler handler = Handler.find(name != null ? name : (String) init.get("handler"), loader);
            if ("snap-start".equals(System.getenv("AWS_LAMBDA_INITIALIZATION_TYPE"))
                    && !beforeSnapshot(platform, sequence))
                System.exit(64); // AWS's number for it
            platform.send(Platform.READY, sequence);
            return handler;
        } catch (UserFault t) {
            report(platform, Platform.INIT_ERROR, sequence, new Fault(t));
            System.exit(1);
            return null;
        }
    }

    // What context.getLogger() says goes to `sink`, in the function's format.
    static void logTo(LogSink sink) throws ReflectiveOperationException {
        String level = System.getenv("AWS_LAMBDA_LOG_LEVEL");
        String format = System.getenv("AWS_LAMBDA_LOG_FORMAT");
        LambdaLogger logger = new LambdaContextLogger(sink,
                LogLevel.fromString(level == null ? "UNDEFINED" : level),
                LogFormat.fromString(format == null ? "TEXT" : format));
        Field f = LambdaRuntime.class.getDeclaredField("logger");
        f.setAccessible(true);
        f.set(null, logger);
    }

    // ---- SnapStart: the hooks that functions register with org.crac ----------------------------

    private static boolean beforeSnapshot(Platform platform, long sequence) throws IOException {
        try {
            Core.getGlobalContext().beforeCheckpoint(null);
            return true;
        } catch (Exception e) {
            report(platform, Platform.INIT_ERROR, sequence,
                   new Fault(e, RapidErrorType.BeforeCheckpointError));
            return false;
        }
    }

    private static void restore(Platform platform) throws IOException {
        try {
            Core.getGlobalContext().afterRestore(null);
        } catch (Exception e) {
            report(platform, Platform.RESTORE_ERROR, platform.sequence,
                   new Fault(e, RapidErrorType.AfterRestoreError));
            System.exit(64);
        }
        platform.send(Platform.RESTORED, platform.sequence);
    }

    // ---- INVOKE --------------------------------------------------------------------------------

    private static void serve(Platform platform, Handler handler) throws IOException {
        for (;;) {
            platform.receive();
            if (platform.kind == Platform.RESTORE) {
                restore(platform);
                continue;
            }
            if (platform.kind != Platform.INVOKE)
                Runtime.getRuntime().halt(70);
            Invocation inv = new Invocation(platform.sequence, platform.body);
            platform.body = null;
            try {
                if (inv.traceId != null)
                    System.setProperty(TRACE_PROPERTY, inv.traceId);
                else
                    System.clearProperty(TRACE_PROPERTY);
                ByteArrayOutputStream answer = handler.call(inv);
                byte[] bytes = answer.toByteArray();
                platform.send(Platform.RESPONSE, 0, inv.sequence, bytes, bytes.length);
                Thread.interrupted(); // what the function may have left
            } catch (Throwable t) {
                Fault fault = new Fault(t);
                report(platform, Platform.ERROR, inv.sequence, fault);
                if (fault.fatal)
                    System.exit(1);
            }
        }
    }

    private static void report(Platform platform, int kind, long sequence, Fault fault)
            throws IOException {
        LambdaRuntime.getLogger().log(fault.text);
        platform.sendError(kind, kind == Platform.ERROR && fault.fatal ? Platform.LEAVING : 0,
                           sequence, fault.type, fault.json);
    }
}
