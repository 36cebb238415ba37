package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One handler of each form that Lambda's Java runtime takes. */
public final class Handlers {
    public static class OfMap implements RequestHandler<Map<String, Object>, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
            context.getLogger().log("greeting " + event.get("name") + "\n");
            if (event.containsKey("fail"))
                throw new IllegalStateException("asked to fail");
            Map<String, Object> answer = new HashMap<>();
            answer.put("greeting", "Hello, " + event.get("name") + "!");
            answer.put("function", context.getFunctionName());
            answer.put("requestId", context.getAwsRequestId());
            answer.put("java", System.getProperty("java.version"));
            return answer;
        }
    }

    public static class OfStream implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context)
                throws IOException {
            byte[] text = in.readAllBytes();
            for (int i = text.length - 1; i >= 0; i--)
                out.write(text[i]);
        }
    }

    public static class Order {
        private String item;
        private int count;

        public String getItem() { return item; }
        public void setItem(String item) { this.item = item; }
        public int getCount() { return count; }
        public void setCount(int count) { this.count = count; }
    }

    public Order twice(Order order, Context context) {
        order.setCount(order.getCount() * 2);
        return order;
    }

    public static int total(List<Integer> numbers) {
        return numbers.stream().mapToInt(Integer::intValue).sum();
    }
}
