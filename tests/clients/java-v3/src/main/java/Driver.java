import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.huaweicloud.sdk.core.ClientBuilder;
import com.huaweicloud.sdk.core.SdkResponse;
import com.huaweicloud.sdk.core.auth.BasicCredentials;
import com.huaweicloud.sdk.core.exception.ServiceResponseException;
import com.huaweicloud.sdk.core.region.Region;
import com.huaweicloud.sdk.dis.v2.DisClient;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Drives the Java SDK v3: one JSON call a line in, one JSON answer a line out.
 *
 * <p>"connect" makes a client under a name, by endpoint or by region; every other operation is NAME.METHOD of such a client.
 * Arguments are the properties of the method's request class, results those of its response class, both named as the
 * SDK names them on the wire; "http_status" is added to results.
 */
public final class Driver {
    private final ObjectMapper mapper = JsonMapper.builder().disable(SerializationFeature.FAIL_ON_EMPTY_BEANS).build();
    private final Map<String, DisClient> clients = new HashMap<>();

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
            answer.set("result", carryOut(call.get("operation").asText(), (ObjectNode) call.get("arguments")));
        } catch (Throwable problem) {
            answer.set("error", error(cause(problem)));
        }
        return mapper.writeValueAsString(answer);
    }

    private JsonNode carryOut(String operation, ObjectNode arguments) throws Exception {
        if (operation.equals("connect")) {
            clients.put(arguments.get("name").asText(), connect(arguments));
            return null;
        }
        String[] parts = operation.split("\\.", 2);
        DisClient client = clients.get(parts[0]);
        for (Method method : DisClient.class.getMethods()) {
            if (method.getName().equals(parts[1]) && method.getParameterCount() == 1) {
                Object request = mapper.treeToValue(arguments, method.getParameterTypes()[0]);
                SdkResponse response = (SdkResponse) method.invoke(client, request);
                ObjectNode result = mapper.valueToTree(response);
                return result.put("http_status", response.getHttpStatusCode());
            }
        }
        throw new NoSuchMethodException(operation);
    }

    private static DisClient connect(ObjectNode arguments) {
        BasicCredentials credentials =
                new BasicCredentials().withAk(arguments.get("ak").asText()).withSk(arguments.get("sk").asText());
        if (arguments.hasNonNull("project_id")) {
            credentials.withProjectId(arguments.get("project_id").asText());
        }
        if (arguments.hasNonNull("security_token")) {
            credentials.withSecurityToken(arguments.get("security_token").asText());
        }
        if (arguments.hasNonNull("iam_endpoint")) {
            credentials.withIamEndpoint(arguments.get("iam_endpoint").asText());
        }
        String endpoint = arguments.get("endpoint").asText();
        ClientBuilder<DisClient> builder = DisClient.newBuilder().withCredential(credentials);
        return arguments.hasNonNull("region")
                ? builder.withRegion(new Region(arguments.get("region").asText(), endpoint)).build()
                : builder.withEndpoint(endpoint).build();
    }

    private ObjectNode error(Throwable problem) {
        ObjectNode error = mapper.createObjectNode();
        error.put("class", problem.getClass().getSimpleName()).put("message", problem.getMessage());
        if (problem instanceof ServiceResponseException) {
            ServiceResponseException refusal = (ServiceResponseException) problem;
            error.put("code", refusal.getErrorCode())
                    .put("message", refusal.getErrorMsg())
                    .put("status", refusal.getHttpStatusCode())
                    .put("request_id", refusal.getRequestId());
        }
        return error;
    }

    private static Throwable cause(Throwable problem) {
        return problem instanceof InvocationTargetException && problem.getCause() != null ? problem.getCause() : problem;
    }
}
