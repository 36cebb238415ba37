// Hello.java - a function that is found as others are: by the loader of a function's own classes.
// Compiled as functions are today, so that text put together with + and lambdas find their
// machinery (java.lang.invoke) running.
package lambkinwarm;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

public final class Hello implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    public static final class Item {
        private String name;
        private int count;
        private List<String> tags;

        public String getName() { return name; }
        public void setName(String name) { this.name = name; }
        public int getCount() { return count; }
        public void setCount(int count) { this.count = count; }
        public List<String> getTags() { return tags; }
        public void setTags(List<String> tags) { this.tags = tags; }
    }

    @Override
    public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
        String name = event.get("name").toString();
        int n = event.size();
        long now = System.currentTimeMillis();
        context.getLogger().log("warm " + event.get("name") + "\n");
        List<Object> all = new ArrayList<>();
        all.add("Hello, " + name);
        all.add("Hello, " + name + "!");
        all.add(name + n);
        all.add(n + " of " + now);
        all.add("a" + event + ", " + context.getAwsRequestId() + "!");
        all.add(name + n + now + event);
        Map<String, Object> answer = new HashMap<>();
        answer.put("joined", all.stream().map(o -> o + "").filter(s -> !s.isEmpty())
                .collect(Collectors.joining(",")));
        answer.put("text", String.format("%s %d %.1f", name, n, 1.5));
        Runnable r = () -> answer.put("ran", name);
        r.run();
        return answer;
    }

    public Item pojo(Item item, Context context) {
        item.setCount(item.getCount() + 1);
        return item;
    }
}
