// ThisProcess.java - what a Java program cannot change about itself, by the library beside it
// (process.c): a spare becomes somebody's long after its start.
package lambkin;

import java.io.FileDescriptor;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Map;

final class ThisProcess {
    static native void setDescriptor(FileDescriptor to, int number);
    static native int changeDirectory(byte[] path);
    private static native void setVariable(byte[] name, byte[] value); // null: unset
    private static native Object environment(); // the map behind System.getenv(), or null

    private ThisProcess() {
    }

    private static byte[] terminated(String text) {
        return (text + '\0').getBytes(StandardCharsets.UTF_8);
    }

    static boolean enter(String directory) {
        return changeDirectory(terminated(directory)) == 0;
    }

    // Whether this JDK keeps its environment where become() looks for it.
    static boolean canBecome() {
        return environment() != null;
    }

    // For System.getenv(), for programs that the function starts, and for native code.
    static void become(Map<String, Object> variables) {
        @SuppressWarnings("unchecked")
        Map<String, String> now = (Map<String, String>) environment();
        for (String name : new ArrayList<>(now.keySet())) {
            if (!variables.containsKey(name)) {
                now.remove(name);
                setVariable(terminated(name), null);
            }
        }
        for (Map.Entry<String, Object> one : variables.entrySet()) {
            now.put(one.getKey(), (String) one.getValue());
            setVariable(terminated(one.getKey()), terminated((String) one.getValue()));
        }
    }
}
