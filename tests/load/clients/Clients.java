import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Applications on Kafka's client for Java, many in one JVM, told by lines on standard input:
 *
 * <pre>
 * start NAME follows|keeps MECHANISM|- LEAST_MS MOST_MS FILE   produces to and consumes from the topic NAME, as the group NAME
 * restart NAME                                                 reads its file anew, as a restarted process does
 * drain                                                        nothing more is produced
 * </pre>
 *
 * and telling by lines on standard output: {@code loaded}, {@code moved}, {@code logins}, {@code refusals}, {@code acknowledged},
 * {@code read}, each with a name and a number; {@code refused}, {@code denied} and {@code died}, each with a name and words. It
 * ends when its input does.
 */
public final class Clients {
    private static final Duration POLL = Duration.ofMillis(50);
    private static final Duration CLOSE = Duration.ofMillis(500);
    private static final long PACE_MS = 100;
    private static final long COUNT_MS = 250;

    private static volatile boolean draining;
    private static volatile boolean ending;

    private Clients() {}

    public static void main(String[] arguments) throws Exception {
        Map<String, Client> clients = new ConcurrentHashMap<>();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ", 7);
            switch (words[0]) {
                case "start" -> {
                    Client client = new Client(words);
                    clients.put(client.name, client);
                    client.thread.start();
                }
                case "restart" -> clients.get(words[1]).restart = true;
                case "drain" -> draining = true;
                default -> throw new IllegalArgumentException(words[0]);
            }
        }
        ending = true;
        for (Client client : clients.values()) {
            client.thread.join();
        }
        System.exit(0);
    }

    private static void tell(String news, String name, Object what) {
        synchronized (System.out) {
            System.out.println(news + " " + name + " " + what);
        }
    }

    /** One application. */
    private static final class Client {
        final String name;
        final Thread thread;
        volatile boolean restart;
        private final boolean follows;
        private final String pinned;
        private final long leastMs;
        private final long mostMs;
        private final Path file;
        private byte[] loaded;
        private long sequence;

        Client(String[] words) {
            name = words[1];
            follows = words[2].equals("follows");
            pinned = words[3].equals("-") ? null : words[3];
            leastMs = Long.parseLong(words[4]);
            mostMs = Long.parseLong(words[5]);
            file = Path.of(words[6]);
            thread = new Thread(this::perform, name);
        }

        private void perform() {
            try {
                loaded = Files.readAllBytes(file);
                tell("loaded", name, 0);
                while (!ending) {
                    refresh();
                    live();
                }
            } catch (Throwable failure) {
                tell("died", name, failure);
            }
        }

        /** One life of a producer and a consumer: until its time is over, or there is something new to read. */
        private void live() throws IOException, InterruptedException {
            long until = System.currentTimeMillis() + ThreadLocalRandom.current().nextLong(leastMs, mostMs);
            KafkaProducer<String, String> producer = new KafkaProducer<>(configuration(), new StringSerializer(), new StringSerializer());
            KafkaConsumer<String, String> consumer = new KafkaConsumer<>(configuration(), new StringDeserializer(), new StringDeserializer());
            byte[] used = loaded;
            Count counted = new Count(name, producer.metrics(), consumer.metrics());
            try {
                consumer.subscribe(List.of(name));
                long nextRecord = 0;
                long nextCount = 0;
                while (!ending && System.currentTimeMillis() < until && !refresh()) {
                    if (!draining && System.currentTimeMillis() >= nextRecord) {
                        nextRecord = System.currentTimeMillis() + PACE_MS;
                        send(producer);
                    }
                    for (var record : consumer.poll(POLL)) {
                        tell("read", name, record.value());
                    }
                    if (System.currentTimeMillis() >= nextCount) {
                        nextCount = System.currentTimeMillis() + COUNT_MS;
                        counted.tellNews();
                    }
                }
            } catch (AuthenticationException refused) {
                tell("refused", name, refused.getMessage() + age(used));
                Thread.sleep(PACE_MS);
            } catch (AuthorizationException denied) {
                tell("denied", name, denied.getMessage());
                Thread.sleep(PACE_MS);
            } finally {
                counted.tellNews();
                producer.close(CLOSE);
                consumer.close(CLOSE);
                tellEnd(used);
            }
        }

        private void send(KafkaProducer<String, String> producer) {
            long number = sequence++;
            producer.send(new ProducerRecord<>(name, Long.toString(number)), (metadata, failure) -> {
                if (failure == null) {
                    tell("acknowledged", name, number);
                } else if (failure instanceof AuthenticationException) {
                    tell("refused", name, failure.getMessage());
                } else if (failure instanceof AuthorizationException) {
                    tell("denied", name, failure.getMessage());
                }
            });
        }

        /** Reads the file if it was restarted, or follows its file and that has changed; whether there is something new. */
        private boolean refresh() throws IOException {
            boolean restarted = restart;
            if (!restarted && !follows) {
                return false;
            }
            restart = false;
            byte[] bytes = Files.readAllBytes(file);
            if (!restarted && Arrays.equals(bytes, loaded)) {
                return false;
            }
            loaded = bytes;
            tell("loaded", name, 0);
            return true;
        }

        /** For a refusal: whether what was used was still what the file holds. */
        private String age(byte[] used) throws IOException {
            return replacedFor(used) < 0 ? " (current)" : " (replaced for " + replacedFor(used) + " ms)";
        }

        /** The last client with these bytes has ended: tells how long they had been replaced by then, if they were. */
        private void tellEnd(byte[] used) throws IOException {
            if (follows && replacedFor(used) >= 0) {
                tell("moved", name, replacedFor(used));
            }
        }

        /** How many milliseconds ago the file was replaced that this was read from; -1 if it was not. */
        private long replacedFor(byte[] used) throws IOException {
            if (Arrays.equals(Files.readAllBytes(file), used)) {
                return -1;
            }
            return Math.max(0, System.currentTimeMillis() - Files.getLastModifiedTime(file).toMillis());
        }

        private Properties configuration() throws IOException {
            Properties properties = new Properties();
            properties.load(new ByteArrayInputStream(loaded));
            if (pinned != null) {
                properties.setProperty("sasl.mechanism", pinned);
            }
            properties.setProperty("acks", "all");
            properties.setProperty("max.block.ms", "500");
            properties.setProperty("linger.ms", "0");
            properties.setProperty("group.id", name);
            properties.setProperty("auto.offset.reset", "earliest");
            properties.setProperty("auto.commit.interval.ms", "500");
            properties.setProperty("session.timeout.ms", "6000");
            properties.setProperty("reconnect.backoff.max.ms", "1000");
            properties.setProperty("enable.metrics.push", "false");
            return properties;
        }
    }

    /** What a producer and a consumer count themselves. */
    private static final class Count {
        private final String name;
        private final List<Metric> succeeded = new ArrayList<>();
        private final List<Metric> failed = new ArrayList<>();
        private long logins;
        private long refusals;

        Count(String name, Map<MetricName, ? extends Metric> ofProducer, Map<MetricName, ? extends Metric> ofConsumer) {
            this.name = name;
            for (var metrics : List.of(ofProducer, ofConsumer)) {
                for (Metric metric : metrics.values()) {
                    if (metric.metricName().tags().containsKey("node-id")) {
                        continue;
                    }
                    switch (metric.metricName().name()) {
                        case "successful-authentication-total" -> succeeded.add(metric);
                        case "failed-authentication-total" -> failed.add(metric);
                        default -> { }
                    }
                }
            }
            if (succeeded.size() != 2 || failed.size() != 2) {
                throw new IllegalStateException("each client has one of both metrics");
            }
        }

        /** Tells what came since the last time. */
        void tellNews() {
            long loginsNow = sum(succeeded);
            long refusalsNow = sum(failed);
            if (loginsNow > logins) {
                tell("logins", name, loginsNow - logins);
            }
            if (refusalsNow > refusals) {
                tell("refusals", name, refusalsNow - refusals);
            }
            logins = loginsNow;
            refusals = refusalsNow;
        }

        private static long sum(List<Metric> metrics) {
            double sum = 0;
            for (Metric metric : metrics) {
                sum += (Double) metric.metricValue();
            }
            return Math.round(sum);
        }
    }
}
