import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import java.util.concurrent.ExecutionException;

import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A service that writes to a topic, twenty records a second, until its standard input ends: {@code Producer FILE TOPIC}.
 *
 * It connects anew each second, and at once when its file has changed. Each time it has written something it prints
 * {@code files F logins L written W refused R}: how many different files it has read, how often it has connected, how many
 * records Kafka acknowledged, and how often Kafka refused its password.
 */
public final class Producer {
    private static final long PACE_MS = 50;
    private static final long LIFE_MS = 1000;

    private static volatile boolean ending;

    public static void main(String[] arguments) throws Exception {
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {}
            } catch (java.io.IOException gone) {
                // As good as its end.
            }
            ending = true;
        });
        input.setDaemon(true);
        input.start();

        Path file = Path.of(arguments[0]);
        String known = "";
        long files = 0, logins = 0, written = 0, refused = 0;
        while (!ending) {
            String text = Files.readString(file);
            if (!text.equals(known)) {
                known = text;
                files++;
            }
            Properties properties = new Properties();
            properties.load(new StringReader(text));
            properties.put("acks", "all");
            try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
                logins++;
                long until = System.currentTimeMillis() + LIFE_MS;
                while (!ending && System.currentTimeMillis() < until && Files.readString(file).equals(known)) {
                    producer.send(new ProducerRecord<>(arguments[1], "shipment " + written)).get();
                    written++;
                    Thread.sleep(PACE_MS);
                }
            } catch (ExecutionException failed) {
                if (failed.getCause() instanceof AuthenticationException) {
                    refused++;
                }
            }
            System.out.printf("files %d logins %d written %d refused %d%n", files, logins, written, refused);
            System.out.flush();
        }
    }
}
