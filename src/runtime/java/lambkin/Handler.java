// Handler.java - finds the function's handler and calls it.
//
// A class that takes and returns plain values (maps, strings, lists…), or streams, is called
// directly; everything else is AWS's runtime interface client's to load and to call. Where a plain
// handler's event or answer is not plain JSON after all, AWS's serializer reads or writes it, so
// that functions see what they see there.
package lambkin;

import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.amazonaws.services.lambda.runtime.api.client.EventHandlerLoader;
import com.amazonaws.services.lambda.runtime.api.client.HandlerInfo;
import com.amazonaws.services.lambda.runtime.api.client.LambdaRequestHandler;
import com.amazonaws.services.lambda.runtime.api.client.UserFault;
import com.amazonaws.services.lambda.runtime.api.client.api.LambdaClientContext;
import com.amazonaws.services.lambda.runtime.api.client.api.LambdaCognitoIdentity;
import com.amazonaws.services.lambda.runtime.api.client.api.LambdaContext;
import com.amazonaws.services.lambda.runtime.api.client.logging.LambdaContextLogger;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.dto.InvocationRequest;
import com.amazonaws.services.lambda.runtime.serialization.PojoSerializer;
import com.amazonaws.services.lambda.runtime.serialization.factories.GsonFactory;
import com.amazonaws.services.lambda.runtime.serialization.factories.JacksonFactory;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

abstract class Handler {
    private static final String SERIALIZER_OF_ITS_OWN =
            "META-INF/services/com.amazonaws.services.lambda.runtime.CustomPojoSerializer";

    // The answer's bytes; what the function throws comes out of it.
    abstract ByteArrayOutputStream call(Invocation inv) throws Throwable;

    // Throws UserFault where AWS's client ends the process: a constructor or static initializer
    // that fails. What else is wrong (no such class) it says when the function is called.
    static Handler find(String name, URLClassLoader loader) throws Throwable {
        HandlerInfo info;
        try {
            info = HandlerInfo.fromString(name, loader);
        } catch (HandlerInfo.InvalidHandlerException e) {
            return new Theirs(faulty(UserFault.makeUserFault("Invalid handler: `" + name + "'")));
        } catch (ClassNotFoundException e) {
            return new Theirs(LambdaRequestHandler.classNotFound(e, HandlerInfo.className(name)));
        } catch (NoClassDefFoundError e) {
            return new Theirs(LambdaRequestHandler.initErrorHandler(e, HandlerInfo.className(name)));
        } catch (Throwable t) {
            throw faultOf(LambdaRequestHandler.initErrorHandler(t, HandlerInfo.className(name)));
        }
        Handler plain = Plain.of(info, loader);
        if (plain != null)
            return plain;
        setTheirLoader(loader);
        LambdaRequestHandler theirs = EventHandlerLoader.loadEventHandler(info);
        if (theirs instanceof LambdaRequestHandler.UserFaultHandler && faultOf(theirs).fatal)
            throw faultOf(theirs);
        return new Theirs(theirs);
    }

    private static LambdaRequestHandler faulty(UserFault fault) {
        return new LambdaRequestHandler.UserFaultHandler(fault);
    }

    private static UserFault faultOf(LambdaRequestHandler h) {
        return ((LambdaRequestHandler.UserFaultHandler) h).fault;
    }

    // For its serializers of events, and for the function's own serializer.
    static void setTheirLoader(URLClassLoader loader) throws ReflectiveOperationException {
        java.lang.reflect.Field f = Class
                .forName("com.amazonaws.services.lambda.runtime.api.client.AWSLambda")
                .getDeclaredField("customerClassLoader");
        f.setAccessible(true);
        f.set(null, loader);
    }

    // ---- by AWS's client -----------------------------------------------------------------------

    private static final class Theirs extends Handler {
        private final LambdaRequestHandler handler;

        Theirs(LambdaRequestHandler handler) {
            this.handler = handler;
        }

        @Override
        ByteArrayOutputStream call(Invocation inv) throws Throwable {
            InvocationRequest request = new InvocationRequest();
            request.setId(inv.requestId);
            request.setXrayTraceId(inv.traceId);
            request.setInvokedFunctionArn(inv.arn);
            request.setDeadlineTimeInMs(inv.deadline);
            request.setClientContext(inv.clientContext);
            request.setCognitoIdentity(inv.identity);
            request.setContent(inv.event());
            return handler.call(request);
        }
    }

    // ---- directly ------------------------------------------------------------------------------

    static final class Plain extends Handler {
        private final RequestHandler<Object, Object> handler; // or:
        private final RequestStreamHandler streams;
        private final Type from, to;
        private final boolean stringsOnly; // Map<String, String>, List<String>
        private final URLClassLoader loader;

        private Plain(Object handler, Type from, Type to, URLClassLoader loader) {
            @SuppressWarnings("unchecked")
            RequestHandler<Object, Object> h =
                    from == null ? null : (RequestHandler<Object, Object>) handler;
            this.handler = h;
            streams = from == null ? (RequestStreamHandler) handler : null;
            this.from = from;
            this.to = to;
            stringsOnly = from instanceof ParameterizedType && lastArgument(from) == String.class;
            this.loader = loader;
        }

        private static Type lastArgument(Type t) {
            Type[] all = ((ParameterizedType) t).getActualTypeArguments();
            return all[all.length - 1];
        }

        private static Class<?> plainClass(Type t) {
            if (t instanceof ParameterizedType) {
                Type raw = ((ParameterizedType) t).getRawType(), last = lastArgument(t);
                Type first = ((ParameterizedType) t).getActualTypeArguments()[0];
                boolean fits = raw == Map.class && first == String.class || raw == List.class;
                return fits && (last == Object.class || last == String.class) ? (Class<?>) raw
                                                                              : null;
            }
            return t == Map.class || t == List.class || t == String.class || t == Object.class
                    || t == Integer.class ? (Class<?>) t : null;
        }

        // NULL: not one of those. Only a class that names the interface itself is looked at.
        static Handler of(HandlerInfo info, URLClassLoader loader) throws Throwable {
            Class<?> c = info.clazz;
            Type[] types = {null, null};
            Constructor<?> constructor;

            if (info.methodName != null && !info.methodName.equals("handleRequest")
                    || c.isInterface() || Modifier.isAbstract(c.getModifiers()))
                return null;
            if (RequestStreamHandler.class.isAssignableFrom(c)) {
                if (info.methodName != null || RequestHandler.class.isAssignableFrom(c))
                    return null;
            } else {
                if (!findTypes(c, types) || info.methodName != null && !onlyOne(c))
                    return null;
                if (loader.findResource(SERIALIZER_OF_ITS_OWN) != null)
                    return null;
            }
            try {
                constructor = c.getConstructor();
            } catch (ReflectiveOperationException e) {
                return null; // AWS's words for it
            }
            try {
                return new Plain(constructor.newInstance(), types[0], types[1], loader);
            } catch (InvocationTargetException e) {
                Throwable t = e.getCause() == null ? e : e.getCause();
                Fault.cut(t);
                throw UserFault.makeUserFault(t, true);
            } catch (IllegalAccessException e) {
                return null;
            }
        }

        private static boolean findTypes(Class<?> c, Type[] types) {
            for (Type t : c.getGenericInterfaces()) {
                if (!(t instanceof ParameterizedType)
                        || ((ParameterizedType) t).getRawType() != RequestHandler.class)
                    continue;
                Type[] all = ((ParameterizedType) t).getActualTypeArguments();
                if (plainClass(all[0]) == null || plainClass(all[1]) == null)
                    return false;
                types[0] = all[0];
                types[1] = all[1];
                return true;
            }
            return false;
        }

        // Whether the method of that name is certainly the interface's.
        private static boolean onlyOne(Class<?> c) {
            int n = 0;
            for (java.lang.reflect.Method m : c.getMethods())
                if (m.getName().equals("handleRequest") && !m.isBridge())
                    n++;
            return n == 1;
        }

        private LambdaContext context(Invocation inv) {
            CognitoIdentity identity = inv.identity == null ? null
                    : GsonFactory.getInstance().getSerializer(LambdaCognitoIdentity.class)
                            .fromJson(inv.identity);
            ClientContext client = inv.clientContext == null ? null
                    : GsonFactory.getInstance().getSerializer(LambdaClientContext.class)
                            .fromJson(inv.clientContext);
            String memory = System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
            return new LambdaContext(memory == null ? 128 : Integer.parseInt(memory), inv.deadline, inv.requestId,
                    System.getenv("AWS_LAMBDA_LOG_GROUP_NAME"),
                    System.getenv("AWS_LAMBDA_LOG_STREAM_NAME"),
                    System.getenv("AWS_LAMBDA_FUNCTION_NAME"), identity,
                    System.getenv("AWS_LAMBDA_FUNCTION_VERSION"), inv.arn, client);
        }

        // What appenders for log4j ask for when they are loaded.
        private void tellLog4j(String requestId) {
            for (String name : new String[] {"org.apache.log4j.MDC",
                    "org.apache.logging.log4j.ThreadContext"}) {
                try {
                    Class<?> c = loader.loadClass(name);
                    Class<?> value = name.endsWith("MDC") ? Object.class : String.class;
                    c.getMethod("put", String.class, value).invoke(null, "AWSRequestId", requestId);
                } catch (Exception e) {
                    continue; // the other one
                }
            }
        }

        @Override
        ByteArrayOutputStream call(Invocation inv) throws Throwable {
            LambdaContext context = context(inv);
            ByteArrayOutputStream out = new ByteArrayOutputStream();

            if (LambdaRuntime.getLogger() instanceof LambdaContextLogger)
                ((LambdaContextLogger) LambdaRuntime.getLogger()).setLambdaContext(context);
            if (LambdaRuntimeInternal.getUseLog4jAppender())
                tellLog4j(inv.requestId);
            if (streams != null)
                streams.handleRequest(new ByteArrayInputStream(inv.event()), out, context);
            else
                write(handler.handleRequest(read(inv, context), context), out, context);
            return out;
        }

        private static boolean forAndroid(Context context) {
            ClientContext c = context.getClientContext();
            Map<String, String> env = c == null ? null : c.getEnvironment();
            return env != null && "Android".equalsIgnoreCase(env.get("platform"));
        }

        private static PojoSerializer<Object> serializer(Type type, Context context) {
            return forAndroid(context) ? GsonFactory.getInstance().getSerializer(type)
                                       : JacksonFactory.getInstance().getSerializer(type);
        }

        private Object read(Invocation inv, Context context) {
            Object value = forAndroid(context) ? Json.ODD
                    : Json.read(inv.frame, inv.eventAt, inv.frame.length);
            if (value != Json.ODD && value != null && fits(value))
                return value;
            try {
                return serializer(from, context).fromJson(new ByteArrayInputStream(inv.event()));
            } catch (Throwable t) {
                throw new RuntimeException("An error occurred during JSON parsing", Fault.cut(t));
            }
        }

        private boolean fits(Object value) {
            if (!plainClass(from).isInstance(value) || value.equals(""))
                return false;
            if (!stringsOnly)
                return true;
            for (Object one : value instanceof Map ? ((Map<?, ?>) value).values() : (List<?>) value)
                if (!(one instanceof String))
                    return false;
            return true;
        }

        private void write(Object value, ByteArrayOutputStream out, Context context)
                throws java.io.IOException {
            StringBuilder text = new StringBuilder();
            if (!forAndroid(context) && Json.write(text, value)) {
                out.write(text.toString().getBytes(StandardCharsets.UTF_8));
                return;
            }
            try {
                serializer(to, context).toJson(value, out);
            } catch (Throwable t) {
                throw new RuntimeException(
                        "An error occurred during JSON serialization of response", t);
            }
        }
    }
}
