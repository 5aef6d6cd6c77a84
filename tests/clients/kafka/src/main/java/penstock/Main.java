package penstock;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.huaweicloud.dis.adapter.kafka.clients.consumer.OffsetAndMetadata;
import com.huaweicloud.dis.adapter.kafka.clients.consumer.OffsetAndTimestamp;
import com.huaweicloud.dis.adapter.kafka.clients.producer.DISKafkaProducer;
import com.huaweicloud.dis.adapter.kafka.clients.producer.ProducerRecord;
import com.huaweicloud.dis.adapter.kafka.clients.producer.RecordMetadata;
import com.huaweicloud.dis.adapter.kafka.common.TopicPartition;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;

/** Drives the Kafka adapter: one JSON call a line in, one JSON answer a line out. Consumers have names. */
public final class Main {
    static final ObjectMapper JSON = new ObjectMapper();

    private final Map<String, Reader> readers = new HashMap<>();
    private DISKafkaProducer<String, String> producer;

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        Main main = new Main();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode call = JSON.readTree(line);
            ObjectNode answer = JSON.createObjectNode();
            try {
                answer.set("result", JSON.valueToTree(main.call(call.get("operation").asText(), call.get("arguments"))));
            } catch (Throwable error) {
                ObjectNode said = answer.putObject("error");
                said.put("class", error.getClass().getSimpleName());
                said.put("message", String.valueOf(error.getMessage()));
            }
            out.println(JSON.writeValueAsString(answer));
            out.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private Object call(String operation, JsonNode with) throws Exception {
        if (operation.equals("produce")) {
            return produce(with);
        }
        String name = with.get("consumer").asText();
        if (operation.equals("open")) {
            readers.put(name, new Reader(properties(with.get("properties"))));
            return null;
        }
        Reader reader = readers.get(name);
        switch (operation) {
            case "subscribe":
                reader.subscribe(texts(with.get("streams")));
                return null;
            case "subscribePattern":
                reader.subscribe(with.get("pattern").asText());
                return null;
            case "start":
                reader.start(with.get("timeout").asLong());
                return null;
            case "stop":
                reader.stop();
                return null;
            case "state":
                return reader.state();
            case "assign":
                reader.consumer.assign(partitions(with.get("partitions")));
                return null;
            case "poll":
                return reader.poll(with.get("timeout").asLong());
            case "seek":
                reader.consumer.seek(partition(with.get("partition")), with.get("offset").asLong());
                return null;
            case "seekToBeginning":
                reader.consumer.seekToBeginning(partitions(with.get("partitions")));
                return null;
            case "seekToEnd":
                reader.consumer.seekToEnd(partitions(with.get("partitions")));
                return null;
            case "position":
                return reader.consumer.position(partition(with.get("partition")));
            case "committed":
                OffsetAndMetadata committed = reader.consumer.committed(partition(with.get("partition")));
                return committed == null ? null : List.of(committed.offset(), committed.metadata());
            case "commitSync":
                if (with.has("offset")) {
                    OffsetAndMetadata offset =
                            new OffsetAndMetadata(with.get("offset").asLong(), with.get("metadata").asText());
                    reader.consumer.commitSync(Map.of(partition(with.get("partition")), offset));
                } else {
                    reader.consumer.commitSync();
                }
                return null;
            case "commitAsync":
                return reader.commitAsync();
            case "offsetsForTimes":
                Map<TopicPartition, Long> times = new HashMap<>();
                times.put(partition(with.get("partition")), with.get("timestamp").asLong());
                OffsetAndTimestamp found = reader.consumer.offsetsForTimes(times).values().iterator().next();
                return found.offset();
            case "beginningOffsets":
                return offsets(reader.consumer.beginningOffsets(partitions(with.get("partitions"))));
            case "endOffsets":
                return offsets(reader.consumer.endOffsets(partitions(with.get("partitions"))));
            case "partitionsFor":
                return reader.consumer.partitionsFor(with.get("stream").asText()).size();
            case "listTopics":
                return new ArrayList<>(reader.consumer.listTopics().keySet());
            case "wakeupDuringPoll":
                return reader.wakeupDuringPoll();
            case "unsubscribe":
                reader.consumer.unsubscribe();
                return null;
            case "close":
                reader.consumer.close();
                return null;
            default:
                throw new IllegalArgumentException(operation);
        }
    }

    private Object produce(JsonNode with) throws Exception {
        if (producer == null) {
            producer = new DISKafkaProducer<>(properties(with.get("properties")));
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        String stream = with.get("stream").asText();
        for (JsonNode record : with.get("records")) {
            Integer partition = record.get(0).isNull() ? null : Integer.valueOf(record.get(0).asInt());
            String key = record.get(1).isNull() ? null : record.get(1).asText();
            sent.add(producer.send(new ProducerRecord<>(stream, partition, key, record.get(2).asText())));
        }
        ArrayNode stored = JSON.createArrayNode();
        for (Future<RecordMetadata> one : sent) {
            RecordMetadata metadata = one.get();
            stored.addArray().add(metadata.partition()).add(metadata.offset());
        }
        return stored;
    }

    private static Properties properties(JsonNode given) {
        Properties properties = new Properties();
        String serialization = "com.huaweicloud.dis.adapter.kafka.common.serialization.String";
        properties.setProperty("key.serializer", serialization + "Serializer");
        properties.setProperty("value.serializer", serialization + "Serializer");
        properties.setProperty("key.deserializer", serialization + "Deserializer");
        properties.setProperty("value.deserializer", serialization + "Deserializer");
        given.fields().forEachRemaining(field -> properties.setProperty(field.getKey(), field.getValue().asText()));
        return properties;
    }

    private static List<String> texts(JsonNode array) {
        List<String> texts = new ArrayList<>();
        array.forEach(one -> texts.add(one.asText()));
        return texts;
    }

    private static TopicPartition partition(JsonNode pair) {
        return new TopicPartition(pair.get(0).asText(), pair.get(1).asInt());
    }

    private static List<TopicPartition> partitions(JsonNode pairs) {
        List<TopicPartition> partitions = new ArrayList<>();
        pairs.forEach(pair -> partitions.add(partition(pair)));
        return partitions;
    }

    private static Object offsets(Map<TopicPartition, Long> offsets) {
        Map<Integer, Long> byPartition = new HashMap<>();
        offsets.forEach((partition, offset) -> byPartition.put(partition.partition(), offset));
        return byPartition;
    }
}
