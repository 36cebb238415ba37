// FunctionLoader.java - the loader of a function's classes: /var/task, /var/task/lib/*.jar,
// /opt/java/lib/*.jar, in AWS's order.
//
// Above it are the JDK and, of the class path, AWS's interfaces and client alone: to look for the
// function's own classes there first would mean to open jars of thousands of entries at each start.
package lambkin;

import java.io.File;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.security.AllPermission;
import java.security.CodeSource;
import java.security.PermissionCollection;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Enumeration;
import java.util.List;

final class FunctionLoader extends URLClassLoader {
    private FunctionLoader(URL[] urls) {
        super(urls, new Above());
    }

    // A function may do everything within its sandbox; to list less costs the JDK a look into its
    // security settings.
    @Override
    protected PermissionCollection getPermissions(CodeSource source) {
        PermissionCollection all = new AllPermission().newPermissionCollection();
        all.add(new AllPermission());
        return all;
    }

    private static void addJars(List<URL> to, String folder) throws IOException {
        String[] names = new File(folder).list();
        if (names == null)
            return;
        Arrays.sort(names);
        for (String name : names)
            if (name.endsWith(".jar") && name.length() > 4)
                to.add(new URL("file", null, -1, folder + "/" + name));
    }

    static URLClassLoader of(String taskRoot, String layerRoot) throws IOException {
        List<URL> urls = new ArrayList<>();
        urls.add(new URL("file", null, -1, taskRoot + "/"));
        addJars(urls, taskRoot + "/lib");
        addJars(urls, layerRoot + "/lib");
        return new FunctionLoader(urls.toArray(new URL[0]));
    }

    private static final class Above extends ClassLoader {
        private final ClassLoader system = ClassLoader.getSystemClassLoader();

        Above() {
            super(ClassLoader.getSystemClassLoader().getParent());
        }

        private static boolean aws(String name, char separator) {
            return name.startsWith("com" + separator + "amazonaws" + separator)
                    || name.startsWith("lambkin" + separator);
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            if (!aws(name, '.'))
                throw new ClassNotFoundException(name);
            return system.loadClass(name);
        }

        @Override
        protected URL findResource(String name) {
            return aws(name, '/') ? system.getResource(name) : null;
        }

        @Override
        protected Enumeration<URL> findResources(String name) throws IOException {
            return aws(name, '/') ? system.getResources(name) : super.findResources(name);
        }
    }
}
