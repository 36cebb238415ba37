package probe;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.Map;

/** Classes that cannot become handlers. */
public final class Broken {
    public static final class Constructor implements RequestHandler<Map<String, Object>, String> {
        public Constructor() {
            throw new IllegalStateException("no such database");
        }

        @Override
        public String handleRequest(Map<String, Object> event, Context context) {
            return "never";
        }
    }

    public static final class Static implements RequestHandler<Map<String, Object>, String> {
        static final int VALUE = Integer.parseInt("x");

        @Override
        public String handleRequest(Map<String, Object> event, Context context) {
            return "never";
        }
    }
}
