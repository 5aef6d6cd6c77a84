package penstock;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.huaweicloud.dis.adapter.kafka.clients.consumer.ConsumerRebalanceListener;
import com.huaweicloud.dis.adapter.kafka.clients.consumer.ConsumerRecord;
import com.huaweicloud.dis.adapter.kafka.clients.consumer.DISKafkaConsumer;
import com.huaweicloud.dis.adapter.kafka.common.TopicPartition;
import java.util.Collection;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/** A consumer, and what it was given. */
final class Reader implements ConsumerRebalanceListener {
    final DISKafkaConsumer<String, String> consumer;

    private final ArrayNode records = Main.JSON.createArrayNode();
    private final ArrayNode assigned = Main.JSON.createArrayNode();
    private final ArrayNode errors = Main.JSON.createArrayNode();
    private int assignments;
    private volatile boolean running;
    private Thread thread;

    Reader(Properties properties) {
        consumer = new DISKafkaConsumer<>(properties);
    }

    void subscribe(Collection<String> streams) {
        consumer.subscribe(streams, this);
    }

    void subscribe(String pattern) {
        consumer.subscribe(Pattern.compile(pattern), this);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        // What was read is committed before anybody else may read it.
        if (!partitions.isEmpty()) {
            consumer.commitSync();
        }
        synchronized (this) {
            assigned.removeAll();
        }
    }

    @Override
    public synchronized void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        assignments++;
        assigned.removeAll();
        for (TopicPartition partition : partitions) {
            assigned.addArray().add(partition.topic()).add(partition.partition());
        }
    }

    /** Polls in a thread of its own, and goes on when a poll fails. */
    void start(long timeout) {
        running = true;
        thread = new Thread(() -> {
            while (running) {
                try {
                    take(timeout);
                } catch (Throwable error) {
                    synchronized (this) {
                        errors.add(error.toString());
                    }
                    pause(200);
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    void stop() throws InterruptedException {
        running = false;
        consumer.wakeup();
        thread.join();
    }

    synchronized ObjectNode state() {
        ObjectNode state = Main.JSON.createObjectNode();
        state.set("records", records.deepCopy());
        state.set("assigned", assigned.deepCopy());
        state.set("errors", errors.deepCopy());
        state.put("assignments", assignments);
        records.removeAll();
        errors.removeAll();
        return state;
    }

    ArrayNode poll(long timeout) {
        records.removeAll();
        take(timeout);
        return records;
    }

    /** Milliseconds that a poll of a minute took which was woken up. */
    long wakeupDuringPoll() throws InterruptedException {
        Thread waker = new Thread(() -> {
            pause(500);
            consumer.wakeup();
        });
        waker.start();
        long began = System.nanoTime();
        consumer.poll(60_000);
        waker.join();
        return (System.nanoTime() - began) / 1_000_000;
    }

    String commitAsync() throws Exception {
        CompletableFuture<String> done = new CompletableFuture<>();
        consumer.commitAsync((offsets, error) -> done.complete(error == null ? "" : error.toString()));
        return done.get(30, TimeUnit.SECONDS);
    }

    private void take(long timeout) {
        for (ConsumerRecord<String, String> record : consumer.poll(timeout)) {
            synchronized (this) {
                ArrayNode one = records.addArray();
                one.add(record.topic()).add(record.partition()).add(record.offset());
                one.add(record.key()).add(record.value());
            }
        }
    }

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException ignored) {
            Thread.currentThread().interrupt();
        }
    }
}
