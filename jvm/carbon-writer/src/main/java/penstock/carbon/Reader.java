package penstock.carbon;

import java.io.File;
import java.util.Arrays;
import java.util.Base64;
import org.apache.carbondata.sdk.file.CarbonReader;
import org.apache.carbondata.sdk.file.CarbonSchemaReader;
import org.apache.carbondata.core.metadata.datatype.Field;

/** Reads a directory with the SDK's own reader, for checking what was written. */
final class Reader {
    private static final int LINES_BYTES = 1 << 20;

    private final String directory;

    Reader(String directory) {
        this.directory = directory;
    }

    /** Takes lines of JSON. */
    interface Lines {
        void take(String lines) throws Exception;
    }

    void lines(Lines lines) throws Exception {
        File[] indexes = new File(directory).listFiles((parent, name) -> name.endsWith(".carbonindex"));
        if (indexes == null || indexes.length == 0) {
            throw new java.io.FileNotFoundException("no .carbonindex in " + directory);
        }
        Field[] fields = CarbonSchemaReader.readSchema(indexes[0].getPath()).asOriginOrder().getFields();
        String[] names = Arrays.stream(fields).map(Field::getFieldName).toArray(String[]::new);
        StringBuilder text = new StringBuilder();
        array(text, (Object[]) names);
        CarbonReader<Object> reader = CarbonReader.builder(directory, "_temp").projection(names).build();
        try {
            while (reader.hasNext()) {
                array(text, (Object[]) reader.readNextRow());
                if (text.length() > LINES_BYTES) {
                    lines.take(text.toString());
                    text.setLength(0);
                }
            }
        } finally {
            reader.close();
        }
        lines.take(text.toString());
    }

    private static void array(StringBuilder text, Object[] values) {
        String separator = "[";
        for (Object value : values) {
            text.append(separator);
            separator = ",";
            if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long) {
                text.append(value);
            } else if (value instanceof Double && Double.isFinite((Double) value)) {
                text.append(value);
            } else if (value instanceof Float && Float.isFinite((Float) value)) {
                text.append((double) (Float) value);
            } else if (value instanceof byte[]) {
                quoted(text, Base64.getEncoder().encodeToString((byte[]) value));
            } else {
                quoted(text, value.toString());
            }
        }
        text.append("]\n");
    }

    private static void quoted(StringBuilder text, String value) {
        text.append('"');
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '"' || c == '\\') {
                text.append('\\').append(c);
            } else if (c < ' ') {
                text.append(String.format("\\u%04x", (int) c));
            } else {
                text.append(c);
            }
        }
        text.append('"');
    }
}
