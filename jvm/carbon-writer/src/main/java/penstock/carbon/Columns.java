package penstock.carbon;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.carbondata.core.constants.CarbonCommonConstants;
import org.apache.carbondata.core.keygenerator.directdictionary.timestamp.DateDirectDictionaryGenerator;
import org.apache.carbondata.core.metadata.datatype.DataType;
import org.apache.carbondata.core.metadata.datatype.DataTypes;
import org.apache.carbondata.core.metadata.datatype.Field;

/**
 * The types of columns, and how rows are sent.
 *
 * <pre>
 * columns   int32 how many; each: text name, int8 type, int8 precision, int8 scale
 * rows      int32 how many; each column: int8 whether some are null, a byte per row (1: there is a value) if so, then
 *           BOOLEAN 1 byte, INT 4, LONG 8, FLOAT 4, DOUBLE 8, DATE int32 days since 1970, TIMESTAMP int64 ms since 1970 UTC,
 *           DECIMAL 16 bytes, unscaled, two's complement; TEXT (UTF-8) and BINARY rows+1 int32 offsets, then all the bytes
 * </pre>
 */
final class Columns {
    static final int BOOLEAN = 1;
    static final int INT = 2;
    static final int LONG = 3;
    static final int FLOAT = 4;
    static final int DOUBLE = 5;
    static final int DATE = 6;
    static final int TIMESTAMP = 7;
    static final int DECIMAL = 8;
    static final int TEXT = 9;
    static final int BINARY = 10;

    private static final int DECIMAL_BYTES = 16;
    private static final String NULL = CarbonCommonConstants.MEMBER_DEFAULT_VAL; // what readers take for null
    private static final byte[] NULL_BYTES = CarbonCommonConstants.MEMBER_DEFAULT_VAL_ARRAY;

    final Field[] fields;
    private final int[] types;
    private final int[] scales;

    Columns(Frame frame) {
        int count = frame.int32();
        fields = new Field[count];
        types = new int[count];
        scales = new int[count];
        for (int i = 0; i < count; i++) {
            String name = frame.text();
            types[i] = frame.int8();
            int precision = frame.int8();
            scales[i] = frame.int8();
            fields[i] = new Field(name, type(types[i], precision, scales[i]));
        }
    }

    private static DataType type(int code, int precision, int scale) {
        switch (code) {
            case BOOLEAN:
                return DataTypes.BOOLEAN;
            case INT:
                return DataTypes.INT;
            case LONG:
                return DataTypes.LONG;
            case FLOAT:
                return DataTypes.FLOAT;
            case DOUBLE:
                return DataTypes.DOUBLE;
            case DATE:
                return DataTypes.DATE;
            case TIMESTAMP:
                return DataTypes.TIMESTAMP;
            case DECIMAL:
                return DataTypes.createDecimalType(precision, scale);
            case TEXT:
                return DataTypes.VARCHAR; // a STRING ends at 32,000 bytes
            case BINARY:
                return DataTypes.BINARY;
            default:
                throw new IllegalArgumentException("no type has the number " + code);
        }
    }

    /** The rows of a frame, each an array as the library takes them without converting. */
    Object[][] rows(Frame frame) {
        int count = frame.int32();
        Object[][] rows = new Object[count][fields.length];
        for (int column = 0; column < fields.length; column++) {
            ByteBuffer valid = frame.int8() == 0 ? null : frame.slice(count);
            if (types[column] == TEXT || types[column] == BINARY) {
                bytes(frame, rows, column, valid);
            } else {
                numbers(frame, rows, column, valid);
            }
        }
        return rows;
    }

    private void bytes(Frame frame, Object[][] rows, int column, ByteBuffer valid) {
        ByteBuffer offsets = frame.slice((rows.length + 1) * Integer.BYTES);
        int size = offsets.getInt(rows.length * Integer.BYTES);
        int start = frame.bytes.position();
        byte[] all = frame.bytes.array();
        for (int row = 0; row < rows.length; row++) {
            if (valid != null && valid.get(row) == 0) {
                rows[row][column] = types[column] == TEXT ? NULL : NULL_BYTES;
                continue;
            }
            int from = start + offsets.getInt(row * Integer.BYTES);
            int to = start + offsets.getInt((row + 1) * Integer.BYTES);
            rows[row][column] = types[column] == TEXT
                    ? new String(all, from, to - from, StandardCharsets.UTF_8)
                    : Arrays.copyOfRange(all, from, to);
        }
        frame.bytes.position(start + size);
    }

    private void numbers(Frame frame, Object[][] rows, int column, ByteBuffer valid) {
        int type = types[column];
        byte[] decimal = new byte[DECIMAL_BYTES];
        for (Object[] row : rows) {
            Object value = number(frame.bytes, type, decimal, scales[column]);
            if (valid == null || valid.get() != 0) {
                row[column] = value;
            } else if (type == DATE) {
                row[column] = CarbonCommonConstants.DIRECT_DICT_VALUE_NULL;
            }
        }
    }

    private static Object number(ByteBuffer bytes, int type, byte[] decimal, int scale) {
        switch (type) {
            case BOOLEAN:
                return bytes.get() != 0;
            case INT:
                return bytes.getInt();
            case LONG:
            case TIMESTAMP:
                return bytes.getLong();
            case FLOAT:
                return bytes.getFloat();
            case DOUBLE:
                return bytes.getDouble();
            case DATE: // as the key that is kept: from a time, the library makes null of what is not in the years 1 to 9999
                return bytes.getInt() + DateDirectDictionaryGenerator.cutOffDate;
            default:
                for (int i = DECIMAL_BYTES - 1; i >= 0; i--) {
                    decimal[i] = bytes.get();
                }
                return new BigDecimal(new BigInteger(decimal), scale);
        }
    }
}
