package penstock.carbon;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.carbondata.hadoop.api.CarbonTableOutputFormat;
import org.apache.carbondata.hadoop.internal.ObjectArrayWritable;
import org.apache.carbondata.processing.loading.model.CarbonLoadModel;
import org.apache.carbondata.sdk.file.CarbonWriter;
import org.apache.carbondata.sdk.file.CarbonWriterBuilder;
import org.apache.carbondata.sdk.file.Schema;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.NullWritable;
import org.apache.hadoop.mapreduce.JobID;
import org.apache.hadoop.mapreduce.RecordWriter;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.TaskAttemptID;
import org.apache.hadoop.mapreduce.TaskID;
import org.apache.hadoop.mapreduce.TaskType;
import org.apache.hadoop.mapreduce.task.TaskAttemptContextImpl;

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

    private final Path directory;
    private final Columns columns;
    private final RecordWriter<NullWritable, ObjectArrayWritable> records;
    private final TaskAttemptContext context;
    private final ObjectArrayWritable row = new ObjectArrayWritable();

    /** `frame`: text directory, columns. */
    Writer(Frame frame) throws Exception {
        directory = Path.of(frame.text());
        columns = new Columns(frame);
        CarbonWriterBuilder builder = CarbonWriter.builder()
                .outputPath(directory.toString())
                .taskNo(TASK)
                .uniqueIdentifier(TIMESTAMP)
                .withPageSizeInMb(PAGE_MB);
        CarbonLoadModel model = builder.buildLoadModel(new Schema(columns.fields));
        model.setLoadWithoutConverterStep(true);
        model.getCarbonDataLoadSchema().getCarbonTable().getTableInfo().setLastUpdatedTime(TIMESTAMP);
        Configuration configuration = new Configuration();
        CarbonTableOutputFormat.setLoadModel(configuration, model);
        TaskID id = new TaskID(new JobID("penstock", 0), TaskType.MAP, 0);
        context = new TaskAttemptContextImpl(configuration, new TaskAttemptID(id, 0));
        records = new CarbonTableOutputFormat().getRecordWriter(context);
    }

    void write(Frame frame) throws Exception {
        for (Object[] values : columns.rows(frame)) {
            row.set(values);
            records.write(NullWritable.get(), row);
        }
    }

    /** Finish; the names of the files, those of data first: an index is no use without them. */
    List<String> close() throws Exception {
        records.close(context);
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

    /** End the threads of what cannot be finished. */
    void abandon() {
        try {
            records.close(context);
        } catch (Exception error) {
            // what went wrong is known already
        }
    }
}
