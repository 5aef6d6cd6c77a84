package penstock.carbon;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.carbondata.common.CarbonIterator;

/**
 * The rows of a request as the library pulls them, one frame in memory at a time.
 *
 * <p>The library's own iterator has a queue that rows are pushed into. When it is closed while the last of them are taken, it can
 * miss that and wait for five minutes.
 */
final class Rows extends CarbonIterator<Object[]> {
    /** Gives frames of rows; null after the last. */
    interface Source {
        Frame next() throws IOException;
    }

    private final Columns columns;
    private final Source source;
    private Object[][] rows = {};
    private int at;
    private boolean ended;

    Rows(Columns columns, Source source) {
        this.columns = columns;
        this.source = source;
    }

    @Override
    public boolean hasNext() {
        while (at == rows.length && !ended) {
            try {
                Frame frame = source.next();
                ended = frame == null;
                rows = ended ? new Object[0][] : columns.rows(frame);
                at = 0;
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
        return !ended;
    }

    @Override
    public Object[] next() {
        return rows[at++];
    }
}
