// Fault.java - what a function throws, as AWS's client reports it.
package lambkin;

import com.amazonaws.services.lambda.runtime.api.client.UserFault;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.DtoSerializers;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.LambdaError;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.RapidErrorType;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.converters.LambdaErrorConverter;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

final class Fault {
    final byte[] type, json;
    final String text;   // for the log
    final boolean fatal; // the process ends after it

    Fault(Throwable t) {
        this(t, t instanceof UserFault ? RapidErrorType.BadFunctionCode
                                       : RapidErrorType.UserException);
    }

    Fault(Throwable t, RapidErrorType kind) {
        cut(t);
        UserFault.filterStackTrace(t);
        boolean theirs = t instanceof UserFault;
        UserFault fault = theirs ? (UserFault) t : UserFault.makeUserFault(t);
        LambdaError error = new LambdaError(theirs ? LambdaErrorConverter.fromUserFault(fault)
                                                   : LambdaErrorConverter.fromThrowable(t), kind);
        type = kind.getRapidError().getBytes(StandardCharsets.UTF_8);
        json = DtoSerializers.serialize(error.errorRequest);
        text = fault.reportableError();
        fatal = t instanceof VirtualMachineError || t instanceof java.io.IOError || fault.fatal;
    }

    // Takes our own frames, and those below, off the traces of t, its causes and what it
    // suppressed; AWS's client does so with its own.
    static Throwable cut(Throwable t) {
        List<Throwable> seen = new ArrayList<>();
        cut(t, seen);
        return t;
    }

    private static void cut(Throwable t, List<Throwable> seen) {
        if (t == null || seen.size() > 100)
            return;
        for (Throwable s : seen)
            if (s == t)
                return;
        seen.add(t);
        StackTraceElement[] trace = t.getStackTrace();
        for (int i = 0; i < trace.length; i++) {
            if (trace[i].getClassName().startsWith("lambkin.")) {
                int n = i; // and the reflection through which we called it
                while (n > 0 && reflection(trace[n - 1].getClassName()))
                    n--;
                t.setStackTrace(java.util.Arrays.copyOf(trace, n));
                break;
            }
        }
        cut(t.getCause(), seen);
        for (Throwable s : t.getSuppressed())
            cut(s, seen);
    }

    private static boolean reflection(String name) {
        return name.startsWith("java.lang.reflect.") || name.startsWith("jdk.internal.reflect.")
                || name.startsWith("sun.reflect.");
    }
}
