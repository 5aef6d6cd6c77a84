package penstock.carbon;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.carbondata.common.CarbonIterator;
import org.apache.carbondata.core.util.DataLoadMetrics;
import org.apache.carbondata.core.util.ThreadLocalSessionInfo;
import org.apache.carbondata.processing.loading.DataLoadExecutor;
import org.apache.carbondata.processing.loading.TableProcessingOperations;
import org.apache.carbondata.processing.loading.model.CarbonLoadModel;
import org.apache.carbondata.sdk.file.CarbonWriter;
import org.apache.carbondata.sdk.file.CarbonWriterBuilder;
import org.apache.carbondata.sdk.file.Schema;
import org.apache.hadoop.conf.Configuration;

/**
 * Writes the files of one directory: the data, and the index that names it.
 *
 * <p>Not through the SDK's own writers: those convert texts, where an empty text or `\N` cannot be told from null, and put the
 * time of day into the header. Here typed values go straight to the writing step, and the same rows give the same bytes.
 */
final class Writer {
    /** Of one column; else a page is 32,000 rows however long their texts are. */
    private static final int PAGE_MB = 8;

    /** Names are made of these; what is in the directory is told by the directory's name. */
    private static final String TASK = "0";

    private static final long TIMESTAMP = 1; // 0 is the time of day

    private final Path work;
    private final Path directory;
    private final Columns columns;

    /** `work` is for temporary files; `frame`: text directory, columns. */
    Writer(Path work, Frame frame) {
        this.work = work;
        directory = Path.of(frame.text());
        columns = new Columns(frame);
    }

    /** Write all rows; the names of the files, those of data first: an index is no use without them. */
    List<String> write(Rows.Source source) throws Exception {
        CarbonLoadModel model = model();
        Path temporary = Files.createTempDirectory(work, "load-");
        CarbonIterator<?>[] rows = {new Rows(columns, source)};
        DataLoadExecutor executor = new DataLoadExecutor();
        ThreadLocalSessionInfo.setConfigurationToCurrentThread(new Configuration());
        try {
            @SuppressWarnings("unchecked")
            CarbonIterator<Object[]>[] input = (CarbonIterator<Object[]>[]) rows;
            executor.execute(model, new String[] {temporary.toString()}, input);
        } finally {
            try {
                executor.close();
            } finally {
                ThreadLocalSessionInfo.unsetAll();
                TableProcessingOperations.deleteLocalDataLoadFolderLocation(model, false, false);
            }
        }
        return names();
    }

    private CarbonLoadModel model() throws Exception {
        CarbonWriterBuilder builder = CarbonWriter.builder()
                .outputPath(directory.toString())
                .taskNo(TASK)
                .uniqueIdentifier(TIMESTAMP)
                .withPageSizeInMb(PAGE_MB);
        CarbonLoadModel model = builder.buildLoadModel(new Schema(columns.fields));
        model.setLoadWithoutConverterStep(true);
        model.setMetrics(new DataLoadMetrics());
        model.getCarbonDataLoadSchema().getCarbonTable().getTableInfo().setLastUpdatedTime(TIMESTAMP);
        return model;
    }

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            List<String> names = files.filter(Files::isRegularFile)
                    .map(file -> file.getFileName().toString())
                    .filter(name -> !name.startsWith("."))
                    .sorted()
                    .collect(Collectors.toList());
            Stream<String> data = names.stream().filter(name -> !name.endsWith(".carbonindex"));
            Stream<String> index = names.stream().filter(name -> name.endsWith(".carbonindex"));
            return Stream.concat(data, index).collect(Collectors.toList());
        }
    }
}
