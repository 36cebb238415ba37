package probe;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.crac.Core;
import org.crac.Resource;

/** Remembers the hooks that it registered with org.crac. */
public final class Snapped implements RequestHandler<Map<String, Object>, List<String>>, Resource {
    private final List<String> seen = new ArrayList<>();

    public Snapped() {
        Core.getGlobalContext().register(this);
        seen.add(System.getenv("AWS_LAMBDA_INITIALIZATION_TYPE"));
    }

    @Override
    public void beforeCheckpoint(org.crac.Context<? extends Resource> context) {
        seen.add("before");
    }

    @Override
    public void afterRestore(org.crac.Context<? extends Resource> context) {
        seen.add("after");
        if (System.getenv("BREAK") != null)
            throw new IllegalStateException("cannot be restored");
    }

    @Override
    public List<String> handleRequest(Map<String, Object> event, Context context) {
        return seen;
    }
}
