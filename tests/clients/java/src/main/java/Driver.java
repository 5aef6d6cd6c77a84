import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.huaweicloud.dis.DISClient;
import com.huaweicloud.dis.DISClientAsync;
import com.huaweicloud.dis.DISClientAsync2;
import com.huaweicloud.dis.DISConfig;
import com.huaweicloud.dis.core.DISCredentials;
import com.huaweicloud.dis.core.handler.AsyncHandler;
import com.huaweicloud.dis.iface.data.request.PutRecordsRequestEntry;
import com.huaweicloud.dis.producer.DISProducer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Drives the Java SDK: one JSON call a line in, one JSON answer a line out.
 *
 * <p>"connect" makes a client of a kind (sync, async, nio, producer) from properties, under a name. Every other operation is
 * NAME.METHOD of such a client. Arguments and results are the setters and getters of the SDK's own classes, so that
 * what is sent and read is what a program in Java would.
 */
public final class Driver {
    private static final long SECONDS = 50;
    private static final Pattern CODE = Pattern.compile("(?:DIS|APIGW)\\.\\d{4}");
    private static final Pattern STATUS = Pattern.compile("(?:^|\\D)([1-5]\\d\\d) : ");

    private final ObjectMapper mapper =
            JsonMapper.builder()
                    // Annotations hold names on the wire; programs use setters and getters.
                    .disable(MapperFeature.USE_ANNOTATIONS)
                    .disable(SerializationFeature.FAIL_ON_EMPTY_BEANS)
                    .build();
    private final Map<String, Object> clients = new HashMap<>();

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Driver driver = new Driver();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(driver.answer(line));
            out.flush();
        }
        System.exit(0);
    }

    private String answer(String line) throws Exception {
        ObjectNode answer = mapper.createObjectNode();
        try {
            JsonNode call = mapper.readTree(line);
            Object result = carryOut(call.get("operation").asText(), (ObjectNode) call.get("arguments"));
            answer.set("result", mapper.valueToTree(result));
        } catch (Throwable problem) {
            answer.set("error", error(cause(problem)));
        }
        return mapper.writeValueAsString(answer);
    }

    private Object carryOut(String operation, ObjectNode arguments) throws Exception {
        if (operation.equals("connect")) {
            return connect(arguments);
        }
        String[] parts = operation.split("\\.", 2);
        Object client = clients.get(parts[0]);
        if (client == null) {
            throw new IllegalArgumentException("no client " + parts[0]);
        }
        if (parts[1].equals("close")) {
            clients.remove(parts[0]);
            client.getClass().getMethod("close").invoke(client);
            return null;
        }
        if (client instanceof DISProducer) {
            return produce((DISProducer) client, parts[1], arguments);
        }
        if (parts[1].equals("updateCredentials")) {
            DISCredentials credentials =
                    new DISCredentials(arguments.get("ak").asText(), arguments.get("sk").asText());
            ((com.huaweicloud.dis.DIS) client).updateCredentials(credentials);
            return null;
        }
        return parts[1].endsWith("Async")
                ? later(client, parts[1], arguments)
                : now(client, parts[1], arguments);
    }

    private Object connect(ObjectNode arguments) {
        DISConfig config = new DISConfig();
        arguments.get("properties").fields().forEachRemaining(e -> config.set(e.getKey(), e.getValue().asText()));
        String kind = arguments.get("kind").asText();
        Object client;
        switch (kind) {
            case "sync":
                client = new DISClient(config);
                break;
            case "async":
                client = new DISClientAsync(config);
                break;
            case "nio":
                client = new DISClientAsync2(config);
                break;
            case "producer":
                client = new DISProducer(config);
                break;
            default:
                throw new IllegalArgumentException("no kind of client " + kind);
        }
        clients.put(arguments.get("name").asText(), client);
        return null;
    }

    private Object now(Object client, String name, ObjectNode arguments) throws Exception {
        Method method = method(client, name, 1);
        return method.invoke(client, argument(method, arguments));
    }

    /** The same call twice over: its Future's result and its AsyncHandler's, which must agree that it went well. */
    private Object later(Object client, String name, ObjectNode arguments) throws Exception {
        Method method = method(client, name, 2);
        Told<Object> told = new Told<>();
        Future<?> future = (Future<?>) method.invoke(client, argument(method, arguments), told);
        Object result = future.get(SECONDS, TimeUnit.SECONDS);
        told.done.get(SECONDS, TimeUnit.SECONDS);
        return result;
    }

    private Object produce(DISProducer producer, String name, ObjectNode arguments) throws Exception {
        String stream = arguments.get("streamName").asText();
        List<Told<Object>> told = new ArrayList<>();
        List<Future<?>> futures = new ArrayList<>();
        for (JsonNode entry : arguments.get("records")) {
            told.add(new Told<>());
            @SuppressWarnings({"unchecked", "rawtypes"})
            AsyncHandler handler = told.get(told.size() - 1);
            futures.add(
                    producer.putRecordAsync(
                            stream, mapper.treeToValue(entry, PutRecordsRequestEntry.class), handler));
        }
        producer.flush();
        List<Object> results = new ArrayList<>();
        for (int i = 0; i < futures.size(); i++) {
            results.add(futures.get(i).get(SECONDS, TimeUnit.SECONDS));
            told.get(i).done.get(SECONDS, TimeUnit.SECONDS);
        }
        return results;
    }

    private Object argument(Method method, ObjectNode arguments) throws Exception {
        Class<?> type = method.getParameterTypes()[0];
        return type == String.class ? arguments.elements().next().asText() : mapper.treeToValue(arguments, type);
    }

    private static Method method(Object client, String name, int parameters) throws NoSuchMethodException {
        for (Method method : client.getClass().getMethods()) {
            if (method.getName().equals(name) && method.getParameterCount() == parameters && !method.isBridge()) {
                return method;
            }
        }
        throw new NoSuchMethodException(name);
    }

    private ObjectNode error(Throwable problem) {
        ObjectNode error = mapper.createObjectNode();
        String message = String.valueOf(problem.getMessage());
        error.put("class", problem.getClass().getSimpleName()).put("message", message);
        Matcher code = CODE.matcher(message);
        if (code.find()) {
            error.put("code", code.group());
        }
        Matcher status = STATUS.matcher(message);
        if (status.find()) {
            error.put("status", Integer.parseInt(status.group(1)));
        }
        // What typed exceptions say beyond their message: getEarliestSequenceNumber, getStreamName and the like.
        for (Method method : problem.getClass().getDeclaredMethods()) {
            if (method.getName().startsWith("get") && method.getParameterCount() == 0) {
                try {
                    error.set(method.getName(), mapper.valueToTree(method.invoke(problem)));
                } catch (ReflectiveOperationException e) {
                    error.put(method.getName(), e.toString());
                }
            }
        }
        return error;
    }

    private static Throwable cause(Throwable problem) {
        while ((problem instanceof InvocationTargetException || problem instanceof ExecutionException)
                && problem.getCause() != null) {
            problem = problem.getCause();
        }
        return problem;
    }

    private static final class Told<T> implements AsyncHandler<T> {
        final CompletableFuture<T> done = new CompletableFuture<>();

        @Override
        public void onError(Exception problem) {
            done.completeExceptionally(problem);
        }

        @Override
        public void onSuccess(T result) {
            done.complete(result);
        }
    }
}
