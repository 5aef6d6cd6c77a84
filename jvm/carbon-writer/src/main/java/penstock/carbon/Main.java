package penstock.carbon;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.io.FileDescriptor;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * One request after the other until standard input ends; the other side is `penstock.dump.carbon_helper`.
 *
 * <p>Both directions are frames: a byte that says which kind, a length (int32, big-endian) and that many bytes.
 *
 * <pre>
 * ->  MAKE    directory, columns                                     a Writer begins
 * ->  ROWS    rows as columns (Columns has the bytes); any number of times
 * ->  END                                                            the files are written
 * <-  DONE    their names, each with a newline
 *
 * ->  READ    directory
 * <-  TEXT    lines of JSON: the names of the columns, then an array for every row; any number of times
 * <-  DONE
 *
 * <-  FAILED  what went wrong, instead of DONE; the helper lives on
 * </pre>
 *
 * <p>The only argument is a directory for temporary files; it goes when the helper ends.
 */
public final class Main {
    static final int MAKE = 'M';
    static final int ROWS = 'R';
    static final int END = 'E';
    static final int READ = 'V';
    static final int TEXT = 'T';
    static final int DONE = 'O';
    static final int FAILED = 'X';

    private static final int LARGEST_FRAME = 64 << 20;

    private final Path work;
    private final DataInputStream in;
    private final DataOutputStream out;

    private Main(Path work, DataInputStream in, DataOutputStream out) {
        this.work = work;
        this.in = in;
        this.out = out;
    }

    public static void main(String[] arguments) throws IOException {
        Path work = Path.of(arguments[0]);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> remove(work)));
        // The end of standard input is not seen while a file is being made, or when a child of the parent has the pipe, too.
        ProcessHandle.current().parent().ifPresent(parent -> parent.onExit().thenRun(() -> System.exit(0)));
        DataOutputStream out =
                new DataOutputStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16));
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.err), true)); // what libraries print
        Settings.apply();
        Main main = new Main(work, new DataInputStream(new BufferedInputStream(System.in, 1 << 16)), out);
        main.answer(DONE, "ready");
        while (main.request()) {
            // until there is none
        }
        System.exit(0); // threads of the library are no daemons
    }

    private boolean request() throws IOException {
        int kind = in.read();
        if (kind < 0) {
            return false;
        }
        byte[] body = body();
        try {
            if (kind == MAKE) {
                answer(DONE, String.join("\n", make(body)));
            } else if (kind == READ) {
                new Reader(new Frame(body).text()).lines(lines -> answer(TEXT, lines));
                answer(DONE, "");
            } else {
                throw new IOException("a frame of kind " + kind + " begins nothing");
            }
        } catch (Lost lost) {
            return false;
        } catch (Exception | LinkageError error) {
            answer(FAILED, described(error));
        }
        return true;
    }

    private List<String> make(byte[] body) throws Exception {
        Incoming rows = new Incoming();
        try {
            return new Writer(work, new Frame(body)).write(rows);
        } finally {
            rows.drain(); // whatever happened, so that the next request begins where it should
        }
    }

    /** The frames of a request up to END. */
    private final class Incoming implements Rows.Source {
        private boolean ended;

        @Override
        public Frame next() throws IOException {
            if (ended) {
                return null;
            }
            int kind = in.read();
            if (kind < 0) {
                throw new Lost();
            }
            byte[] rows = body();
            ended = kind == END;
            return ended ? null : new Frame(rows);
        }

        void drain() throws IOException {
            while (next() != null) {
                // nobody wants it
            }
        }
    }

    private byte[] body() throws IOException {
        int length = in.readInt();
        if (length < 0 || length > LARGEST_FRAME) {
            throw new IOException("a frame of " + length + " bytes");
        }
        byte[] body = new byte[length];
        in.readFully(body);
        return body;
    }

    private void answer(int kind, String text) throws IOException {
        byte[] bytes = text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
        out.write(kind);
        out.writeInt(bytes.length);
        out.write(bytes);
        out.flush();
    }

    /** The innermost reason in the first line, the whole trace after it. */
    private static String described(Throwable error) {
        Throwable inner = error;
        while (inner.getCause() != null && inner.getCause() != inner) {
            inner = inner.getCause();
        }
        StringWriter trace = new StringWriter();
        error.printStackTrace(new PrintWriter(trace));
        return inner + "\n" + trace;
    }

    private static void remove(Path directory) {
        try (Stream<Path> all = Files.walk(directory)) {
            all.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        } catch (IOException | java.io.UncheckedIOException error) {
            // the parent may be removing it, too
        }
    }

    /** Standard input ended in the middle of a request. */
    private static final class Lost extends IOException {
        private static final long serialVersionUID = 1;
    }
}
