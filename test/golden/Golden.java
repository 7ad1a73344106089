// Writes golden bytes with Apache Kafka's own serializers: README.md says how and why.
//
// stdin:  the first lines of messages in proto/kafka/schema ("request FetchRequest 0-18 flexible 12+ {").
// stdout: "Name version values skeleton", one line for each version that Kafka's class supports and the schema
//         has; the bytes are hexadecimal, "-" where Kafka cannot write the message.

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.ZipFile;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class Golden {
    public static void main(String[] args) throws Exception {
        Map<String, String> classes = classesByName();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        TreeMap<String, String> versionsByName = new TreeMap<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            versionsByName.put(words[1], words[2]);
        }
        for (Map.Entry<String, String> entry : versionsByName.entrySet()) {
            String name = entry.getKey();
            String className = firstOf(classes, name + "Data", name, name + "Schema");
            if (className == null) {
                System.err.println("no class for " + name);
                continue;
            }
            Class<?> type = Class.forName(className);
            String[] known = entry.getValue().split("-");
            int last = Math.min(type.getField("HIGHEST_SUPPORTED_VERSION").getShort(null),
                                Integer.parseInt(known[known.length - 1]));
            Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
            for (int v = type.getField("LOWEST_SUPPORTED_VERSION").getShort(null); v <= last; v++) {
                Message message = (Message) type.getConstructor().newInstance();
                fill(message, schemas[v], hash(FNV_OFFSET, normal(name)));
                Message skeleton = (Message) type.getConstructor().newInstance();
                build(skeleton, schemas[v]);
                System.out.println(name + " " + v + " " + hex(message, v) + " " + hex(skeleton, v));
            }
        }
    }

    static String hex(Message message, int version) {
        try {
            return HexFormat.of().formatHex(encode(message, (short) version));
        } catch (RuntimeException cannotBeWritten) {
            return "-";
        }
    }

    static byte[] encode(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        return buffer.array();
    }

    // Simple class name -> full name, for every class of Kafka on the class path.
    static Map<String, String> classesByName() throws Exception {
        Map<String, String> result = new HashMap<>();
        for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (!path.endsWith(".jar")) continue;
            try (ZipFile jar = new ZipFile(path)) {
                jar.stream().map(e -> e.getName()).filter(n -> n.startsWith("org/apache/kafka/") && n.endsWith(".class"))
                    .filter(n -> !n.contains("$") && (n.contains("/generated/") || n.contains("/message/")))
                    .forEach(n -> result.put(n.substring(n.lastIndexOf('/') + 1, n.length() - 6),
                                             n.substring(0, n.length() - 6).replace('/', '.')));
            }
        }
        return result;
    }

    static String firstOf(Map<String, String> classes, String... names) {
        for (String name : names) {
            if (classes.containsKey(name)) return classes.get(name);
        }
        return null;
    }

    // --- the rule (README.md); proto/kafka/testing/golden_filler.cc states it a second time ---

    static final long FNV_OFFSET = 0xcbf29ce484222325L;
    static final long FNV_PRIME = 0x100000001b3L;

    static String normal(String name) {
        return name.replace("_", "").toLowerCase(Locale.ROOT);
    }

    static long hash(long state, String text) {
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) state = (state ^ (b & 0xff)) * FNV_PRIME;
        return state;
    }

    static long element(long state, int index) {
        return (state ^ (0x100 + index)) * FNV_PRIME;
    }

    static long bits(long state) {
        long z = state;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    static String text(long bits) {
        String text = String.format("v%08x", bits & 0xffffffffL);
        if ((bits >>> 40 & 7) == 0) text += "\u00e9\u20ac";
        return (bits >>> 44 & 15) == 0 ? text.repeat(20) : text;
    }

    static byte[] data(long bits) {
        byte[] data = new byte[(int) (bits >>> 48 & 15)];
        for (int i = 0; i < data.length; i++) data[i] = (byte) (bits >>> 8 * (i % 8));
        return data;
    }

    static void fill(Object object, Schema schema, long state) throws Exception {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (var field : tagged.fields().values()) fillField(object, field.name, field.type, state);
            } else {
                fillField(object, bound.def.name, bound.def.type, state);
            }
        }
    }

    static void fillField(Object object, String name, Type type, long outer) throws Exception {
        Field field = fieldOf(object.getClass(), normal(name));
        field.setAccessible(true);
        long state = hash(outer, normal(name));
        if (type.isNullable() && (bits(state) >>> 8 & 3) == 0) {
            field.set(object, null);
        } else if (type.isArray()) {
            field.set(object, array(field, type.arrayElementType().get(), state));
        } else {
            field.set(object, value(field.getType(), type, state));
        }
    }

    // The skeleton: arrays of structs get one element, structs are there, all else stays as it is.
    static void build(Object object, Schema schema) throws Exception {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (var field : tagged.fields().values()) buildField(object, field.name, field.type);
            } else {
                buildField(object, bound.def.name, bound.def.type);
            }
        }
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    static void buildField(Object object, String name, Type type) throws Exception {
        Field field = fieldOf(object.getClass(), normal(name));
        field.setAccessible(true);
        if (type.isArray() && type.arrayElementType().get() instanceof Schema element) {
            Collection values = emptyCollection(field);
            Object value = newInstance(elementClass(field));
            build(value, element);
            values.add(value);
            field.set(object, values);
        } else if (type instanceof Schema struct) {
            Object value = newInstance(field.getType());
            build(value, struct);
            field.set(object, value);
        }
    }

    static Field fieldOf(Class<?> type, String normalName) {
        for (Field field : type.getDeclaredFields()) {
            if (normal(field.getName()).equals(normalName)) return field;
        }
        throw new IllegalStateException(type + " has no " + normalName);
    }

    // Sets keyed by fields have a collection class of their own, whose superclass names the element.
    static Class<?> elementClass(Field field) {
        ParameterizedType generic = (ParameterizedType)
            (field.getType() == List.class ? field.getGenericType() : field.getType().getGenericSuperclass());
        return (Class<?>) generic.getActualTypeArguments()[0];
    }

    @SuppressWarnings("rawtypes")
    static Collection emptyCollection(Field field) throws Exception {
        return field.getType() == List.class ? new ArrayList<>() : (Collection) newInstance(field.getType());
    }

    static Object newInstance(Class<?> type) throws Exception {
        Constructor<?> constructor = type.getDeclaredConstructor();
        constructor.setAccessible(true);
        return constructor.newInstance();
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    static Object array(Field field, Type elementType, long state) throws Exception {
        Collection values = emptyCollection(field);
        int count = (int) (1 + (bits(state) >>> 16 & 1));
        for (int i = 0; i < count; i++) {
            values.add(value(elementClass(field), elementType, element(state, i)));
        }
        return values;
    }

    static Object value(Class<?> type, Type wire, long state) throws Exception {
        long bits = bits(state);
        if (wire instanceof Schema schema) {
            Object object = newInstance(type);
            fill(object, schema, state);
            return object;
        }
        if (wire == Type.UINT16) return (int) (bits & 0xffff);
        if (wire == Type.UNSIGNED_INT32) return bits & 0xffffffffL;
        if (type == boolean.class) return (bits & 1) != 0;
        if (type == byte.class || type == Byte.class) return (byte) bits;
        if (type == short.class || type == Short.class) return (short) bits;
        if (type == int.class || type == Integer.class) return (int) bits;
        if (type == long.class || type == Long.class) return bits;
        if (type == double.class) return (double) (int) bits;
        if (type == String.class) return text(bits);
        if (type == Uuid.class) return new Uuid(bits, bits(state + 1));
        if (type == byte[].class) return data(bits);
        if (type == ByteBuffer.class) return ByteBuffer.wrap(data(bits));
        if (type.getSimpleName().endsWith("Records")) return MemoryRecords.readableRecords(ByteBuffer.wrap(data(bits)));
        throw new IllegalStateException("no rule for " + type);
    }
}
