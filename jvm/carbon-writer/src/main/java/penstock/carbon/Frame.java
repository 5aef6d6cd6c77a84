package penstock.carbon;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Reads what a frame holds: little-endian numbers, and texts as a length (int32) and UTF-8. */
final class Frame {
    final ByteBuffer bytes;

    Frame(byte[] bytes) {
        this.bytes = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    int int32() {
        return bytes.getInt();
    }

    int int8() {
        return bytes.get() & 0xff;
    }

    String text() {
        byte[] text = new byte[bytes.getInt()];
        bytes.get(text);
        return new String(text, StandardCharsets.UTF_8);
    }

    /** The next bytes as a buffer of their own. */
    ByteBuffer slice(int length) {
        ByteBuffer slice = bytes.slice().order(ByteOrder.LITTLE_ENDIAN);
        slice.limit(length);
        bytes.position(bytes.position() + length);
        return slice;
    }
}
